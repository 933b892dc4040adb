-- Of one thread along the index, newest first, else those of all threads within the ranges. A page of one thread costs what
-- it returns. p_after_key and p_after_ns: of those with the id p_before (forks have the ids of what they come from) the ones
-- behind these. p_ranges: the keys that the caller may read.
create function pgstate._checkpoints(
  p_key text, p_ranges pgstate.keymultirange, p_regex text, p_ns text, p_before text, p_limit int, p_filter jsonb, p_run_id text,
  p_after_key text, p_after_ns text
) returns setof pgstate.checkpoint_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  if p_key is not null and p_run_id is null then
    return query
      with recursive space (ns) as (
        -- the namespaces of the thread, each by a look at the index: sorting is off, and what a planner of 16 makes of min() on a
        -- small table reads all of the thread
        select (select c.ns from pgstate.checkpoint c where c.thread_id = v_thread.id and (p_ns is null or c.ns = p_ns) order by c.ns limit 1)
        union all
        select (select c.ns from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns > s.ns order by c.ns limit 1)
          from space s where p_ns is null and s.ns is not null
      )
      select 'ok', p_key, m.ns::text, m.id::text, m.parent::text, m.metadata, m.run_id::text, m.header, m.whole, m.names, m.versions,
             m.types, m.data, m.size, m.created_at, m.writer, m.via
        from space s
        cross join lateral (
          select c.* from pgstate.checkpoint c
           where c.thread_id = v_thread.id and c.ns = s.ns
             -- a bound in any case, so that the index is entered there
             and c.id <= coalesce(p_before, (
               select y.id from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = s.ns order by y.id desc limit 1))
             and (p_before is null or c.id < p_before or (p_key, c.ns) > (p_after_key, p_after_ns))
             and (p_filter is null or c.metadata @> p_filter)
           order by c.id desc limit p_limit) m
       order by m.id desc, m.ns limit p_limit;
  elsif p_run_id is not null then
    return query
      select 'ok', t.key::text, c.ns::text, c.id::text, c.parent::text, c.metadata, c.run_id::text, c.header, c.whole, c.names, c.versions,
             c.types, c.data, c.size, c.created_at, c.writer, c.via
        from pgstate.checkpoint c
        -- a limit, so that this is looked up for each and the planner does not begin with all threads
        cross join lateral (
          select x.key from pgstate.thread x join pgstate.entry e on e.key = x.key
           where x.id = c.thread_id and e.value is not null and (e.expires_at is null or e.expires_at > v_now) limit 1) t
       where c.run_id = p_run_id and p_ranges @> t.key and (p_key is null or t.key = p_key) and (p_regex is null or t.key ~ p_regex)
         and (p_ns is null or c.ns = p_ns)
         and (p_before is null or c.id < p_before or c.id = p_before and (t.key, c.ns) > (p_after_key, p_after_ns))
         and (p_filter is null or c.metadata @> p_filter)
       order by c.id desc, t.key, c.ns limit p_limit;
  else
    return query
      select 'ok', t.key::text, c.ns::text, c.id::text, c.parent::text, c.metadata, c.run_id::text, c.header, c.whole, c.names, c.versions,
             c.types, c.data, c.size, c.created_at, c.writer, c.via
        from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id join pgstate.entry e on e.key = t.key
       where p_ranges @> t.key and (p_regex is null or t.key ~ p_regex)
         and e.value is not null and (e.expires_at is null or e.expires_at > v_now) and (p_ns is null or c.ns = p_ns)
         and (p_before is null or c.id < p_before or c.id = p_before and (t.key, c.ns) > (p_after_key, p_after_ns))
         and (p_filter is null or c.metadata @> p_filter)
       order by c.id desc, t.key, c.ns limit p_limit;
  end if;
end
$$;
comment on function pgstate._checkpoints(text, pgstate.keymultirange, text, text, text, int, jsonb, text, text, text) is 'Internal: checkpoints of threads within ranges.';
