-- As list_claims(), for work in every state. What is finished is told by the version that removed it.
create function pgstate.tasks(
  pattern text default '', "limit" int default 1000, after text default null, states text[] default null, agent text default null
) returns setof pgstate.task_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(tasks.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regex text;
begin
  if not coalesce(tasks.states <@ array['waiting', 'claimed', 'failed', 'finished'], true) then
    raise exception using errcode = 'PS007', message = 'states are waiting, claimed, failed and finished';
  end if;
  v_ranges := pgstate._page_ranges(v_actor, tasks.pattern, tasks."limit", tasks.after);
  v_regex := pgstate._pattern_regex(tasks.pattern);
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, s.state, e.priority, case when s.state = 'claimed' then c.holder end, case when s.state = 'claimed' then c.lease_until end,
               case when s.state = 'claimed' then c.lease_until - v_now end, coalesce(c.attempts, 0), c.error,
               case when s.state = 'waiting' and greatest(e.not_before, c.retry_at) > v_now then greatest(e.not_before, c.retry_at) end,
               e.version, e.created_at, e.updated_at
          from pgstate.entry e
          left join lateral (select x.* from pgstate.claim x where x.key = e.key offset 0) c on true
          cross join lateral (
            select case when e.value is null then
                     case when (select v.op from pgstate.version v where v.key = e.key and v.version = e.version) = 'complete' then 'finished' end
                   when e.expires_at <= v_now then null
                   when c.lease_until > v_now then 'claimed'
                   when c.retry_at = 'infinity' then 'failed'
                   else 'waiting' end as state offset 0) s
         where e.key >= span.low and e.key < span.high and e.kind = 'value' and (v_regex is null or e.key ~ v_regex)
           and s.state is not null and (tasks.states is null or s.state = any (tasks.states))
         order by e.key limit tasks."limit"
      ) m
     limit tasks."limit";
end
$$;
comment on function pgstate.tasks(text, int, text, text[], text) is
  'Entries as pieces of work, in key order, of the keys that match a pattern and that the caller may read: waiting (next_try, after a failure with its error), claimed (by whom, how long still), failed (given up) or finished (completed). states: only these. limit 1 to 100000 (null: all), after: the last key of the page before. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';
