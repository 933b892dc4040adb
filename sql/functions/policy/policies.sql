create function pgstate.policies(agent text default null) returns setof pgstate.policy_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._policies(pgstate._enter(policies.agent));
end
$$;
comment on function pgstate.policies(text) is 'The policies that hold for keys within the caller''s grants. PS010.';
