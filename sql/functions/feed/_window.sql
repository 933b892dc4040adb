-- How a page behind a snapshot is read: up to the current snapshot, clipped as in _snapshot(), and from where, as in
-- _window_start(). Usually little has happened, no transaction was under way at the snapshot, and this one has written
-- nothing: then one look at the rows from the snapshot's end on answers both.
create function pgstate._window(p_epoch int, p_top xid8, p_running xid8[], p_cap int) returns pgstate._window
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_count bigint;
  v_top xid8;
begin
  if p_running is null and pg_current_xact_id_if_assigned() is null then
    select count(*), greatest((((max(w.xid)::text)::bigint + 1)::text)::xid8, p_top) into v_count, v_top
      from (select v.xid from pgstate.version v where v.epoch = p_epoch and v.xid >= p_top order by v.xid limit p_cap + 1) w;
    if v_count <= p_cap and v_top <= pg_snapshot_xmin(pg_current_snapshot()) then
      return row((v_top || ':' || v_top || ':')::pg_snapshot, null)::pgstate._window;
    end if;
  end if;
  return row(pgstate._snapshot(p_epoch), pgstate._window_start(p_epoch, p_top, p_running, p_cap))::pgstate._window;
end
$$;
comment on function pgstate._window(int, xid8, xid8[], int) is 'Internal: how far a page of the feed reads, and where it starts.';
