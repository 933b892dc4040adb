create function pgstate.add_to_group(name text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_member(add_to_group.name, add_to_group.agent, true);
end
$$;
comment on function pgstate.add_to_group(text, text) is
  'Adds an agent to a group: what the group may and may not holds for it from then on. Not the administrator, and no other group. Needs admin on everything. PS007 PS010.';
