-- As _wake(), for what a lane wrote last: whom, was found then, by _finish(), which looked at their rights.
create function pgstate._wake_lane(p_lane uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pg_notify(c, '') from pgstate.lane l cross join unnest(l.channels) c where l.lane = p_lane;
  return found;
end
$$;
comment on function pgstate._wake_lane(uuid) is 'Internal: notifies those who watch what a lane wrote last.';
