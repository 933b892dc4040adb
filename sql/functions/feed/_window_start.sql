-- How to read the window behind a snapshot (given by its xmax, and what ran then): null when it holds at most p_cap rows
-- (all are fetched by transaction id and sorted), else the seq to start from along the index on seq. As the owner: a count
-- that no caller is told.
create function pgstate._window_start(p_epoch int, p_top xid8, p_running xid8[], p_cap int) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_count bigint;
begin
  select count(*) into v_count
    from (select from pgstate.version v where v.epoch = p_epoch and v.xid >= p_top
           order by v.xid limit p_cap + 1) w;
  if v_count <= p_cap and cardinality(p_running) > 0 then
    select v_count + count(*) into v_count
      from (select from unnest(p_running) r cross join lateral (
              select from pgstate.version v where v.epoch = p_epoch and v.xid = r limit p_cap + 1) x limit p_cap + 1) w;
  end if;
  if v_count <= p_cap then
    return null;
  end if;
  return least(
    -- OFFSET 0: otherwise the smallest is looked for along the index on seq, from the oldest row of all
    (select min(w.seq) from (select v.seq from pgstate.version v where v.epoch = p_epoch and v.xid >= p_top offset 0) w),
    (select min(m.seq) from unnest(p_running) r cross join lateral (
       select min(v.seq) as seq from pgstate.version v where v.epoch = p_epoch and v.xid = r) m)) - 1;
end
$$;
comment on function pgstate._window_start(int, xid8, xid8[], int) is 'Internal: how a page of the feed is read.';
