-- Rule "clip": 1 + the highest visible xid of a version row. Ids of transactions that never flushed are handed out again
-- after a crash, so a cursor must not claim to have seen them. The own transaction's rows do not count: it may roll back.
-- As the owner: row-level security would make the search for the newest row scan everything hidden.
create function pgstate._frontier(p_epoch int) returns xid8
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_own xid8 := coalesce(pg_current_xact_id_if_assigned(), '0'::xid8);
  v_top xid8;
begin
  select v.xid into v_top from pgstate.version v where v.epoch = p_epoch and v.xid > v_own order by v.xid desc limit 1;
  if v_top is null then
    select v.xid into v_top from pgstate.version v where v.epoch = p_epoch and v.xid < v_own order by v.xid desc limit 1;
  end if;
  return coalesce(((v_top::text)::bigint + 1)::text, '3')::xid8;
end
$$;
comment on function pgstate._frontier(int) is 'Internal: 1 + the highest visible transaction id in the feed.';
