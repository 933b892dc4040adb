create function pgstate.grants(agent text default null) returns setof pgstate.grant_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._grants(pgstate._enter(grants.agent));
end
$$;
comment on function pgstate.grants(text) is 'All grants; without admin on everything, only the caller''s own. PS010.';
