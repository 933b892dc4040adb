create function pgstate._drop_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  begin
    perform from pgstate.login l where l.login = p_login and l.gateway for update;
    if not found then
      raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login);
    end if;
    -- its delegations go with it, in the order in which what agents reach is folded
    perform from pgstate.delegation d where d.login = p_login order by d.agent_id for update;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('gateway %L cannot be dropped while a transaction has changed what its agents may', p_login));
  end;
  delete from pgstate.login l where l.login = p_login;
  -- locked ones are told nothing that their agents may not read, and end by themselves
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where x.login = p_login for update skip locked);
  perform pgstate._audit(v_actor, 'drop_gateway', null, jsonb_build_object('login', p_login));
end
$$;
comment on function pgstate._drop_gateway(text) is 'Internal: removes a gateway.';
