create function pgstate.quotas(agent text default null) returns setof pgstate.quota_row
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._quotas(pgstate._enter(quotas.agent));
end
$$;
comment on function pgstate.quotas(text) is 'The quotas of agents and what they have used, at most: what others overwrote or removed is taken off before anything is refused. Without admin on everything, only the caller''s own. PS010.';
