-- Start of every function: who acts, and what they reach. Raises PS010 for nobody.
-- The call's agent goes into a transaction-local setting, because policies must see it. Every function sets it anew, so
-- that what an earlier call of the same transaction named never carries over. (A SET clause on the functions would end it
-- with the call, but only a superuser may attach one for a custom parameter.)
-- The ranges stay where they are stored until a caller compares with them: whoever does so more than once detoasts first,
-- with a union with '{}' as in _reachable().
create function pgstate._enter(p_agent text) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_named text := coalesce(p_agent, '');
begin
  if coalesce(current_setting('pgstate.agent', true), '') = '' then
    -- the login's own agent, named or not: the short form, as in _reachable()
    select a.id, a.name, i.epoch, i.value_limit, r.reads, r.writes, i.identity into v_actor
      from pgstate.login l join pgstate.agent a on a.id = l.agent_id join pgstate.reach r on r.agent_id = a.id
      cross join pgstate.install i where l.login = session_user::text and v_named in (a.name, '');
    if v_actor.id is not null then
      v_named := '';
    end if;
  end if;
  if coalesce(current_setting('pgstate.call_agent', true), '') <> v_named then
    perform set_config('pgstate.call_agent', v_named, true);
  end if;
  if coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    perform set_config('pgstate.call_agents', '', true);
  end if;
  if v_actor.id is not null then
    return v_actor;
  end if;
  select a.id, a.name, i.epoch, i.value_limit, r.reads, r.writes, i.identity into v_actor
    from pgstate._acting who join pgstate.agent a on a.id = who.agent_id join pgstate.reach r on r.agent_id = a.id
    cross join pgstate.install i;
  if v_actor.id is null or v_actor.name <> nullif(p_agent, '') then
    if v_named = '' and coalesce(current_setting('pgstate.agent', true), '') = ''
       and exists (select from pgstate.login l where l.login = session_user::text and l.gateway) then
      raise exception using errcode = 'PS010', message = 'access denied',
        hint = 'This login is a gateway: name the agent that acts, by the argument agent => ''…'', by set pgstate.agent, or in Python by as_agent(name).';
    end if;
    perform pgstate._deny();
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter(text) is 'Internal: resolves and returns the acting agent, PS010 for nobody.';
