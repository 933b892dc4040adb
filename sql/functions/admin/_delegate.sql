create function pgstate._delegate(p_login text, p_agent text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if not exists (select from pgstate.login l where l.login = p_login and l.gateway) then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', p_login), hint = 'create_gateway(login) makes one.';
  end if;
  begin
    -- first, as whoever changes what it may, or drops it
    perform from pgstate.agent a where a.id = v_id for no key update;
    v_id := pgstate._agent_id(p_agent);
    if p_on then
      insert into pgstate.delegation (login, agent_id, agent_name) values (p_login, v_id, p_agent) on conflict do nothing;
      -- its trigger copies the reach to the new row; and whoever changes the reach by a snapshot that does not show the row yet fails
      update pgstate.reach r set agent_id = r.agent_id where r.agent_id = v_id;
    else
      delete from pgstate.delegation d where d.login = p_login and d.agent_id = v_id;
      perform pgstate._drop_watchers(v_id, p_login);
    end if;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('%s cannot be %s while a transaction has changed what it may', p_agent, case when p_on then 'delegated' else 'undelegated' end));
  end;
  perform pgstate._audit(v_actor, case when p_on then 'delegate' else 'undelegate' end, null, jsonb_build_object('login', p_login, 'agent', p_agent));
end
$$;
comment on function pgstate._delegate(text, text, boolean) is 'Internal: adds or removes a delegation.';
