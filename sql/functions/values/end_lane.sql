-- Reaches nothing but the caller's own lane.
create function pgstate.end_lane(lane uuid, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._lane_drop(pgstate._enter(end_lane.agent), end_lane.lane);
end
$$;
comment on function pgstate.end_lane(uuid, text) is 'Forgets a lane whose last statement was answered. A client changes its lanes now and then: while an old snapshot is held open, the row of a lane leads to all that it was.';
