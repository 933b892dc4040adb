-- _enter() for the feed reads of a process with several agents: each must be one that this login may act for. The policies
-- then see the union of their reach.
create function pgstate._enter_for(p_agents text[]) returns pgstate._actor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
begin
  -- names and tickets travel in one setting, separated by blanks, which none of them holds
  if exists (select from unnest(p_agents) n where n is null or n !~ '^[A-Za-z0-9._~:@=+,%/-]{1,250}$') then
    perform pgstate._deny();
  end if;
  perform set_config('pgstate.call_agent', '', true);
  perform set_config('pgstate.call_agents', array_to_string(p_agents, ' '), true);
  if cardinality(pgstate._acting_ids()) <> cardinality(p_agents) then
    perform pgstate._deny();
  end if;
  select i.epoch, i.identity, case when i.horizon_epoch = i.epoch then i.horizon end into v_actor.epoch, v_actor.identity, v_actor.horizon from pgstate.install i;
  return v_actor;
end
$$;
comment on function pgstate._enter_for(text[]) is 'Internal: checks the agents of a multi-agent call; nobody in particular acts then, within nobody''s ranges.';
