-- For texts that must not be refused, such as why work failed: redacted wherever the guard is on.
create function pgstate._guarded(p_actor pgstate._actor, p_key text, p_text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if pgstate._may_be_secret(p_text) and pgstate._guard_of(p_actor, p_key) <> 'off' then
    return pgstate._redact(p_text);
  end if;
  return p_text;
end
$$;
comment on function pgstate._guarded(pgstate._actor, text, text) is 'Internal: a text without secrets, unless the guard of its key is off.';
