-- The last change that a snapshot has seen. As the owner: whose change that was must not matter, and row-level security
-- would make the search for it scan everything hidden.
create function pgstate._last_seen(p_epoch int, p_seen pg_snapshot) returns pgstate.version
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_last pgstate.version;
begin
  select v.seq, v.at into v_last.seq, v_last.at
    from pgstate.version v where v.epoch = p_epoch and v.xid < pg_snapshot_xmax(p_seen)
   order by v.xid desc, v.seq desc limit 1;
  return v_last;
end
$$;
comment on function pgstate._last_seen(int, pg_snapshot) is 'Internal: seq and time of the last change that a snapshot has seen.';
