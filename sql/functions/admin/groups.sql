create function pgstate.groups(agent text default null) returns setof pgstate.group_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._groups(pgstate._enter(groups.agent));
end
$$;
comment on function pgstate.groups(text) is 'The groups of agents with their members; without admin on everything, the caller''s own, and of the members only itself. PS010.';
