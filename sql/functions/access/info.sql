create function pgstate.info(agent text default null) returns pgstate.about
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_install pgstate.about;
begin
  perform pgstate._check_login();
  v_install := pgstate._install();
  if info.agent is null then
    -- what an earlier call of this transaction named
    perform set_config('pgstate.call_agent', '', true);
  end if;
  if info.agent is not null or pgstate._acting() is not null then
    v_install.agent := (pgstate._enter(info.agent)).name;
  end if;
  v_install.login := session_user;
  return v_install;
end
$$;
comment on function pgstate.info(text) is 'Revision of the schema, the acting agent (null for a gateway that names none), the login, the largest value in bytes, the epoch, and the oldest revision whose clients are served. PS010 for a login that is not registered.';
