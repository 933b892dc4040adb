-- One step through keys whose rule for search has changed. It begins when every transaction has ended that may have written by
-- the rules of before: what is written from then on is indexed by its writer. It holds no lock that a writer waits for, other
-- than the new rows of this step, and gives those up rather than wait for a writer.
create function pgstate._build_search(p_limit int) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set lock_timeout = '100ms'
as $$
declare
  v_build pgstate.search_build;
  v_keys text[];
begin
  select b.* into v_build from (select x.* from pgstate.search_build x offset 0) b order by b.asked_at, b.subtree limit 1 for update skip locked;
  if v_build.subtree is null then
    return false;
  end if;
  -- one from another cluster, before a restore, would never be reached
  if v_build.barrier is null or v_build.barrier > pg_snapshot_xmax(pg_current_snapshot()) then
    v_build.barrier := pg_snapshot_xmax(pg_current_snapshot());
    update pgstate.search_build b set barrier = v_build.barrier where b.subtree = v_build.subtree;
  end if;
  if pg_snapshot_xmin(pg_current_snapshot()) < v_build.barrier then
    return true;
  end if;
  -- documents of keys too: an entry may be gone by now
  v_keys := array(
    select k.key
      from (select greatest(v_build.after || chr(1), case when v_build.subtree like '%**' then left(v_build.subtree, -2) else v_build.subtree end collate "C") as low,
                   case when v_build.subtree = '**' then chr(127) when v_build.subtree like '%/**' then left(v_build.subtree, -3) || '0'
                        else v_build.subtree || chr(1) end as high offset 0) s
      cross join lateral (select e.key from pgstate.entry e where e.key >= s.low and e.key < s.high order by e.key limit p_limit) k);
  if v_build.after = '' and v_build.subtree like '%/**' then
    v_keys := left(v_build.subtree, -3) || v_keys;
  end if;
  begin
    perform pgstate._index_keys(v_keys);
  exception when lock_not_available or deadlock_detected then
    return true;
  end;
  if cardinality(v_keys) < p_limit then
    delete from pgstate.search_build b where b.subtree = v_build.subtree;
  else
    update pgstate.search_build b set after = v_keys[cardinality(v_keys)] where b.subtree = v_build.subtree;
  end if;
  return exists (select from pgstate.search_build);
end
$$;
comment on function pgstate._build_search(int) is 'Internal: one step of indexing for search. Is there more?';
