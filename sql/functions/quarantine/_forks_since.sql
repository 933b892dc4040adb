-- Threads that were forked from others and hold checkpoints that an agent has saved since then: no version of theirs tells.
create function pgstate._forks_since(p_agent text, p_moment pgstate._moment) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
begin
  return query
    select t.key::text from pgstate.thread t
     where t.forked_from is not null and t.key is not null
       and exists (select from pgstate.checkpoint c where c.thread_id = t.id and c.writer = p_agent and c.created_at >= p_moment.at)
     order by t.key;
end
$$;
comment on function pgstate._forks_since(text, pgstate._moment) is 'Internal: forks of what an agent has saved.';
