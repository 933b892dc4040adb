create function pgstate.remove_from_group(name text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_member(remove_from_group.name, remove_from_group.agent, false);
end
$$;
comment on function pgstate.remove_from_group(text, text) is
  'Removes an agent from a group; open watches lose at once what they had through it. Needs admin on everything. PS007 PS010.';
