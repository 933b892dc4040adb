-- The calling statement's snapshot as a cursor keeps it: clipped, and with the own transaction still under way.
create function pgstate._snapshot(p_epoch int) returns pg_snapshot
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_top xid8 := pgstate._frontier(p_epoch);
  v_own xid8 := pg_current_xact_id_if_assigned();
  v_running xid8[];
begin
  if v_own is not null or pg_snapshot_xmin(pg_current_snapshot()) < v_top then
    v_running := array(
      select x from (select x from pg_snapshot_xip(pg_current_snapshot()) x union select v_own) r
       where r.x < v_top order by r.x);
  end if;
  return (coalesce(v_running[1], v_top) || ':' || v_top || ':' || coalesce(array_to_string(v_running, ','), ''))::pg_snapshot;
end
$$;
comment on function pgstate._snapshot(int) is 'Internal: the current snapshot, clipped to the feed.';
