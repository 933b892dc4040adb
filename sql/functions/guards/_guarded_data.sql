-- Of what comes as bytes the database reads JSON and messages of errors. p_refuse: by a policy that refuses; else, for results, which
-- would be lost, redacted there too. PS009.
create function pgstate._guarded_data(p_actor pgstate._actor, p_key text, p_type text, p_data bytea, p_refuse boolean) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_mode text;
  v_clean record;
begin
  if pgstate._suspect_parts(null, array[p_type], array[p_data]) then
    v_mode := pgstate._guard_of(p_actor, p_key);
    if v_mode <> 'off' and p_type in ('json', 'error') then
      v_clean := pgstate._guarded_bytes(p_type, p_data);
      if v_clean.rule is not null and v_mode = 'refuse' and p_refuse then
        perform pgstate._raise('PS009', p_key, pgstate._error_text('PS009', p_key) || ': ' || v_clean.rule);
      end if;
      return v_clean.data;
    end if;
  end if;
  return p_data;
end
$$;
comment on function pgstate._guarded_data(pgstate._actor, text, text, bytea, boolean) is 'Internal: serialized data without secrets, where it can be read. PS009.';
