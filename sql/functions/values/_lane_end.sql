-- Returns true, so that it can be assigned: PERFORM would run it as a query.
create function pgstate._lane_end(p_lane uuid, p_turn bigint, p_outcome jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.lane l set turn = p_turn, outcome = p_outcome, at = pgstate._now() where l.lane = p_lane;
  return true;
end
$$;
comment on function pgstate._lane_end(uuid, bigint, jsonb) is 'Internal: stores a lane''s outcome.';
