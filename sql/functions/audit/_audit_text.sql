-- What a denied agent asked for is its own words, which an administrator will read: printable ASCII, and no more than so many
-- characters of it.
create function pgstate._audit_text(p_text text, p_length int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_text text := regexp_replace(left(p_text, p_length + 1), '[^ -~]+', '?', 'g');
begin
  return case when length(v_text) > p_length then left(v_text, p_length) || '...' else v_text end;
end
$$;
comment on function pgstate._audit_text(text, int) is 'Internal: text for the audit trail, cut and without what is not printable.';
