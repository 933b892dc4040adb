-- Counts anew what an agent keeps, by the entries under what it may write, or has in its own hands to write again, and by what threads
-- and runs hold of it, and has the parts add up to that: p_part is one that this transaction has locked. In one statement, since a write
-- that ends meanwhile changes both.
create function pgstate._count_usage(p_agent_id int, p_part bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  with kept as (
    select count(*) as entries, coalesce(sum(pg_column_size(e.value) + coalesce(e.tail_bytes, 0)), 0) as bytes
      from pgstate._reach r join pgstate.agent a on a.id = r.agent_id
      cross join lateral (
        select s.low, s.high from pgstate._spans(r.writes + r.admins) s) span
      join pgstate.entry e on e.key >= span.low and e.key < span.high and e.value is not null and e.writer = a.name
           and (e.expires_at is null or e.expires_at > pgstate._now())
     where r.agent_id = p_agent_id
  ), given as (
    -- vectors that came with what it wrote; others' models make the rest
    select coalesce(sum(pg_column_size(m.vector)), 0) as bytes
      from pgstate._reach r join pgstate.agent a on a.id = r.agent_id
      cross join lateral (
        select s.low, s.high from pgstate._spans(r.writes + r.admins) s) span
      cross join lateral (
        select x.key, x.vector from pgstate.embedding x where x.key >= span.low and x.key < span.high and x.digest = '' offset 0) m
      join pgstate.entry e on e.key = m.key and e.value is not null and e.writer = a.name
           and (e.expires_at is null or e.expires_at > pgstate._now())
     where r.agent_id = p_agent_id
  ), stored as (
    select coalesce(sum(
             (select coalesce(sum(pgstate._checkpoint_bytes(c)), 0) from pgstate.checkpoint c where c.thread_id = t.thread_id and c.agent_id = p_agent_id)
           + (select coalesce(sum(pg_column_size(k.data) + octet_length(k.type)), 0) from pgstate.chunk k where k.thread_id = t.thread_id and k.agent_id = p_agent_id)
           + (select coalesce(sum(pg_column_size(w.data) + octet_length(w.channel) + octet_length(w.type) + octet_length(w.task_path)), 0)
                from pgstate.pending_write w where w.thread_id = t.thread_id and w.agent_id = p_agent_id)), 0)
         + (select coalesce(sum(
              (select coalesce(sum(coalesce(pg_column_size(s.data), 0) + coalesce(octet_length(s.type), 0) + octet_length(s.id) + octet_length(s.name)), 0)
                 from pgstate.step s where s.run_id = r.id and s.agent_id = p_agent_id)
            + (select coalesce(sum(coalesce(pg_column_size(g.data), 0) + coalesce(octet_length(g.type), 0) + octet_length(g.name)), 0)
                 from pgstate.signal g where g.run_id = r.id and g.agent_id = p_agent_id)
            + case when r.agent_id = p_agent_id
                   then coalesce(pg_column_size(r.input), 0) + coalesce(octet_length(r.input_type), 0) + coalesce(octet_length(r.code), 0) else 0 end
            + case when r.result_agent_id = p_agent_id then coalesce(pg_column_size(r.result), 0) + coalesce(octet_length(r.result_type), 0) else 0 end), 0)
              from pgstate.usage_run u cross join lateral (select x.* from pgstate.run x where x.id = u.run_id offset 0) r
             where u.agent_id = p_agent_id) as bytes
      from pgstate.usage_thread t where t.agent_id = p_agent_id
  ), others as (
    select coalesce(sum(u.entries), 0) as entries, coalesce(sum(u.bytes), 0) as bytes
      from pgstate.usage u where u.agent_id = p_agent_id and u.id <> p_part
  )
  update pgstate.usage u set entries = k.entries - o.entries, bytes = k.bytes + g.bytes + s.bytes - o.bytes
    from kept k cross join given g cross join stored s cross join others o where u.id = p_part;
end
$$;
comment on function pgstate._count_usage(int, bigint) is 'Internal: counts anew what an agent keeps.';
