-- One that takes longer than the caller's statement may waits for an hour: it would have all that maintain() does undone, each
-- time anew. How long one takes is for whoever may write it to say: a list may name the same chunks millions of times.
create function pgstate._collect_threads(p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_ids bigint[] := array(select t.id from pgstate.thread t where t.collect_at <= pgstate._now() order by t.collect_at limit 100);
  v_more boolean := false;
begin
  for v_index in 1 .. cardinality(v_ids) loop
    begin
      v_more := pgstate._collect_thread(v_ids[v_index], p_limit);
    exception when query_canceled then
      update pgstate.thread t set collect_at = pgstate._now() + interval '1 hour'
       where t.id in (select x.id from pgstate.thread x where x.id = v_ids[v_index] for update skip locked);
      return true;
    end;
    -- one long one at a time
    exit when v_more;
  end loop;
  return v_more or cardinality(v_ids) = 100;
end
$$;
comment on function pgstate._collect_threads(int) is 'Internal: removes what threads do not need any more; is there more to do?';
