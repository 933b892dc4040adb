create function pgstate.agents(agent text default null) returns setof pgstate.agent_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._agents(pgstate._enter(agents.agent));
end
$$;
comment on function pgstate.agents(text) is 'The registered agents; without admin on everything, only the caller itself. PS010.';
