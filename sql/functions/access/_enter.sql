-- Start of every function: who acts, and what they reach, or for one key whether they may read it, and unless nobody asks
-- write it (each of the two fetches 200 grants from where long values are kept: 3 us). Raises PS010 for nobody. The call's
-- agent goes into a transaction-local setting, because policies must see it; every function sets it anew, so that what an
-- earlier call of the same transaction named never carries over. (A SET clause on the functions would end it with the call,
-- but only a superuser may attach one for a custom parameter.)
create function pgstate._enter(p_agent text, p_key text default null, p_writes boolean default true) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
begin
  -- the login's own agent, named or not: as in _acting_reach
  select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
         case when p_key is null then l.writes end, i.identity, l.reads @> p_key, case when p_writes then l.writes @> p_key end, i.table_oid = i.tableoid, null, i.policies,
         case when i.horizon_epoch = i.epoch then i.horizon end, l.quota, l.trust into v_actor
    from pgstate.login l cross join pgstate.install i
   where l.login = session_user::text and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
     and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '')
     and l.folded_until is null;
  if v_actor.id is null then
    return pgstate._enter_named(p_agent, p_key);
  elsif coalesce(current_setting('pgstate.call_agent', true), '') || coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    v_done := set_config('pgstate.call_agent', '', true) || set_config('pgstate.call_agents', '', true);
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter(text, text, boolean) is 'Internal: resolves and returns the acting agent, PS010 for nobody.';
