create function pgstate.searches(agent text default null) returns setof pgstate.search_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._searches(pgstate._enter(searches.agent));
end
$$;
comment on function pgstate.searches(text) is 'What is indexed for search(), of what holds for keys within the caller''s grants. PS010.';
