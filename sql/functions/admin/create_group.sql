create function pgstate.create_group(name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._add_group(create_group.name);
end
$$;
comment on function pgstate.create_group(text) is
  'Registers a group of agents. Rights are granted and denied to it as to an agent, by its name, and hold for each member; {agent} stands for the member. Needs admin on everything. PS007 PS010.';
