-- Of what comes as bytes the database reads JSON and messages of errors. In escapes, which never fail and can be taken back:
-- a secret is ASCII. p_refuse: by a policy that refuses; else, for results, which would be lost, redacted there too. PS009.
create function pgstate._guarded_data(p_actor pgstate._actor, p_key text, p_type text, p_data bytea, p_refuse boolean) returns bytea
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_text text;
  v_mode text;
  v_rule text;
begin
  if p_type in ('json', 'error') then
    v_text := encode(p_data, 'escape');
    if (' ' || v_text) ~ pgstate._secret_hint() then
      v_mode := pgstate._guard_of(p_actor, p_key);
      v_rule := case when v_mode <> 'off' then pgstate._secret_rule(v_text) end;
      if v_rule is not null and v_mode = 'refuse' and p_refuse then
        perform pgstate._raise('PS009', p_key, pgstate._error_text('PS009', p_key) || ': ' || v_rule);
      elsif v_rule is not null then
        return decode(pgstate._redact(v_text), 'escape');
      end if;
    end if;
  end if;
  return p_data;
end
$$;
comment on function pgstate._guarded_data(pgstate._actor, text, text, bytea, boolean) is 'Internal: serialized data without secrets, where it can be read. PS009.';
