-- Reaches nobody but those who watch what this lane has written; its id is known to its client alone.
create function pgstate.wake_lane(lane uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._wake_lane(wake_lane.lane);
end
$$;
comment on function pgstate.wake_lane(uuid) is 'Wakes those who watch what the last statement of a lane wrote, after its commit; false when it does not know whom: use wake(). For clients that wrote with wake off.';
