-- For what any registered login may ask, a gateway that names no agent too.
create function pgstate._check_login() returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if not exists (select from pgstate.login l where l.login = session_user::text) then
    perform pgstate._deny();
  end if;
end
$$;
comment on function pgstate._check_login() is 'Internal: raises PS010 for a login that is not registered.';
