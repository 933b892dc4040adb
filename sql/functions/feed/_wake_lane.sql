-- As _wake(), for what a lane wrote last: whom, was found then, by _finish(), which looked at their rights.
create function pgstate._wake_lane(p_lane uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[] := (select l.channels from pgstate.lane l where l.lane = p_lane);
  v_done boolean;
begin
  if v_channels is not null then
    v_done := pgstate._notify(v_channels);
  end if;
  return v_channels is not null;
end
$$;
comment on function pgstate._wake_lane(uuid) is 'Internal: notifies those who watch what a lane wrote last.';
