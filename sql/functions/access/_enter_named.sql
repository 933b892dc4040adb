-- _enter() for a login that acts for another agent, or for nobody.
create function pgstate._enter_named(p_agent text, p_key text) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
begin
  if coalesce(current_setting('pgstate.call_agent', true), '') <> coalesce(p_agent, '')
     or coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    v_done := set_config('pgstate.call_agent', coalesce(p_agent, ''), true) || set_config('pgstate.call_agents', '', true);
  end if;
  -- as in _reachable_through()
  select d.agent_id, d.agent_name, i.epoch, i.value_limit, case when p_key is null then d.reads end, case when p_key is null then d.writes end,
         i.identity, d.reads @> p_key, d.writes @> p_key, i.table_oid = i.tableoid, null, i.policies,
         case when i.horizon_epoch = i.epoch then i.horizon end, d.quota, d.trust into v_actor
    from pgstate.login l cross join pgstate.install i
    cross join lateral (select x.* from pgstate.delegation x
                         where x.login = session_user and x.folded_until is null
                           and x.agent_name = coalesce(nullif(p_agent, ''), current_setting('pgstate.agent', true)) offset 0) d
   where l.login = session_user and l.gateway and not l.tickets;
  if v_actor.id is null then
    -- nobody, whom the login that installed names, somebody with a ticket, or one of its grants is to end or has
    select a.id, a.name, i.epoch, i.value_limit, case when p_key is null then r.reads end, case when p_key is null then r.writes end,
           i.identity, r.reads @> p_key, r.writes @> p_key, i.table_oid = i.tableoid, null, i.policies,
           case when i.horizon_epoch = i.epoch then i.horizon end, r.quota, r.trust into v_actor
      from pgstate._acting_any who join pgstate.agent a on a.id = who.agent_id
      cross join lateral (select * from pgstate._reach x where x.agent_id = a.id offset 0) r
      cross join pgstate.install i;
  end if;
  if v_actor.id is null or v_actor.name <> split_part(nullif(p_agent, ''), '/', 1) then
    if coalesce(p_agent, '') = '' and coalesce(current_setting('pgstate.agent', true), '') = ''
       and exists (select from pgstate.login l where l.login = session_user::text and l.gateway) then
      raise exception using errcode = 'PS010', message = 'access denied',
        hint = 'This login is a gateway: name the agent that acts, by the argument agent => ''…'', by set pgstate.agent, or in Python by as_agent(name).';
    end if;
    if exists (select from pgstate.login l where l.login = session_user::text and l.tickets) then
      raise exception using errcode = 'PS010', message = 'access denied',
        hint = 'This gateway names agents by tickets: what it gave is none, or is not good for it now. issue_ticket(login, agent) makes one.';
    end if;
    if exists (select from pgstate.login l join pgstate.agent a on a.id = l.agent_id where l.login = session_user::text and a.suspended_at is not null) then
      raise exception using errcode = 'PS010', message = 'access denied', hint = 'The agent of this login is suspended: an administrator may resume_agent() it.';
    end if;
    perform pgstate._deny();
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter_named(text, text) is 'Internal: _enter() for a login that acts for another agent.';
