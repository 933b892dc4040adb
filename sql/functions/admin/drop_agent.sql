create function pgstate.drop_agent(name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_agent(drop_agent.name);
end
$$;
comment on function pgstate.drop_agent(text) is
  'Removes an agent with its grants, delegations, login and watches, and gives its claims back. What it wrote stays, memory/{agent}/** too, and the history keeps its name, which create_agent() then refuses unless told reuse => true. The database role of its login stays: DROP ROLE removes that. Asked again, it gives back what a transaction had locked or claimed that was under way. The administrator cannot be dropped. Needs admin on everything. PS007 PS010.';
