create function pgstate.resume_agent(agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._resume(pgstate._enter(null), resume_agent.agent);
end
$$;
comment on function pgstate.resume_agent(text) is
  'Lets a suspended agent act again, with the grants that it has by now. What quarantine() did stays. Needs admin on everything. PS007 PS010.';
