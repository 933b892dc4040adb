-- Threads that hold what an agent has laid down there since then and no version of them tells: forks with checkpoints of its, and writes of
-- tasks that it wrote, which are counted. There is no index for the latter: whoever asks this can wait, and whoever writes them cannot.
create function pgstate._threads_since(p_agent text, p_moment pgstate._moment) returns table (key text, pending_writes bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
begin
  return query
    select t.key::text, p.count
      from pgstate.thread t
      left join (select w.thread_id, count(*) from pgstate.pending_write w where w.writer = p_agent and w.written_at >= p_moment.at group by 1) p on p.thread_id = t.id
     where t.key is not null
       and (p.count is not null
            or t.forked_from is not null
               and exists (select from pgstate.checkpoint c where c.thread_id = t.id and c.writer = p_agent and c.created_at >= p_moment.at))
     order by t.key;
end
$$;
comment on function pgstate._threads_since(text, pgstate._moment) is 'Internal: threads that hold what an agent has laid down.';
