-- _enter() for the feed reads of a process with several agents: each must be one that this login may act for. The policies
-- then see the union of their reach.
create function pgstate._enter_for(p_agents text[]) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- names travel in one setting, separated by blanks, which no agent's name holds
  if exists (select from unnest(p_agents) n where n is null or n !~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$') then
    perform pgstate._deny();
  end if;
  perform set_config('pgstate.call_agent', '', true);
  perform set_config('pgstate.call_agents', array_to_string(p_agents, ' '), true);
  if cardinality(pgstate._acting_ids()) <> cardinality(p_agents) then
    perform pgstate._deny();
  end if;
end
$$;
comment on function pgstate._enter_for(text[]) is 'Internal: checks the agents of a multi-agent call.';
