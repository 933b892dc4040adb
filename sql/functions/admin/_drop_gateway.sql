create function pgstate._drop_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  -- its delegations go with it
  delete from pgstate.login l where l.login = p_login and l.gateway;
  if not found then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login);
  end if;
  -- locked ones are told nothing that their agents may not read, and end by themselves
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where x.login = p_login for update skip locked);
  perform pgstate._audit(v_actor, 'drop_gateway', null, jsonb_build_object('login', p_login));
end
$$;
comment on function pgstate._drop_gateway(text) is 'Internal: removes a gateway.';
