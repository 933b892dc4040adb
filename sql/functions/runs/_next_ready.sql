create function pgstate._next_ready(p_names text[], p_ranges pgstate.keymultirange, p_regex text) returns interval
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return (
    -- what is ready and was not to be had is locked by somebody: no version tells when it is let go of
    select case when min(x.at) > v_now then min(x.at) - v_now when min(x.at) is not null then interval '50 ms' end
      from (select distinct n from unnest(p_names) n) w (name)
      cross join lateral (
        select min(greatest(r.ready_at, c.lease_until, c.retry_at)) as at
          -- in the order of the index on names: where most are of one, the planner would look through all runs there are
          from (select x.key, x.ready_at from pgstate.run x
                 where x.name = w.name and x.state = 'open' and x.key is not null and not x.asleep and p_ranges @> x.key
                   and (p_regex is null or x.key ~ p_regex)
                 order by x.priority desc, x.ready_at, x.id offset 0) r
          left join pgstate.claim c on c.key = r.key
         -- one that was given up is for release() alone
         where c.retry_at is distinct from 'infinity'
        union all
        (select r.ready_at
           from pgstate.run r
          where r.name = w.name and r.state = 'open' and r.key is not null and r.asleep and r.ready_at is not null and p_ranges @> r.key
            and (p_regex is null or r.key ~ p_regex)
          order by r.ready_at limit 1)) x);
end
$$;
comment on function pgstate._next_ready(text[], pgstate.keymultirange, text) is 'Internal: until the first of these runs may be ready.';
