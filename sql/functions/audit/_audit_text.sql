-- What a denied agent asked for is its own words, which an administrator will read: printable ASCII without secrets, and no more than
-- so many characters of it.
create function pgstate._audit_text(p_text text, p_length int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  -- before it is cut: half a secret is one still
  return left(regexp_replace(pgstate._redact(left(p_text, 10000)), '[^ -~]+', '?', 'g'), p_length) || case when length(p_text) > p_length then '...' else '' end;
end
$$;
comment on function pgstate._audit_text(text, int) is 'Internal: text for the audit trail, cut and without what is not printable.';
