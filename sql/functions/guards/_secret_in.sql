-- For names, which are refused and never redacted: wherever the guard is on.
create function pgstate._secret_in(p_actor pgstate._actor, p_key text, p_text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if pgstate._may_be_secret(p_text) and pgstate._guard_of(p_actor, p_key) <> 'off' then
    return pgstate._secret_rule(p_text);
  end if;
  return null;
end
$$;
comment on function pgstate._secret_in(pgstate._actor, text, text) is 'Internal: the rule by which a name holds a secret, or null; null too where the guard is off.';
