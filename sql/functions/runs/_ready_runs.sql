-- Wakes the runs whose time has come, of those that the caller may take: who keeps its transaction open keeps no others asleep. Rows
-- that somebody has locked are left to the next, so this waits for nobody. Then the runs that a worker may go on with, best first, their entries locked; those that somebody works on are left out. And
-- when the next of the others may be ready.
create function pgstate._ready_runs(p_names text[], p_ranges pgstate.keymultirange, p_regex text, p_limit int) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_room int := p_limit + 20;
  v_keys text[];
  v_more boolean;
begin
  update pgstate.run r set asleep = false, awaits = null
   where r.id = any (array(
     select x.id from pgstate.run x
      where x.name = any (p_names) and x.ready_at <= v_now and x.state = 'open' and x.key is not null and x.asleep and p_ranges @> x.key
      limit 1000 for no key update skip locked));
  loop
    -- as many of each workflow as are asked for, and some more, by their index: however many wait, and whom others have locked
    with ready as materialized (
      select w.name, m.*
        from (select distinct n from unnest(p_names) n) w (name)
        cross join lateral (
          select r.key, r.priority, r.ready_at, r.id from pgstate.run r
           where r.name = w.name and r.state = 'open' and r.key is not null and not r.asleep and r.ready_at <= v_now
             and p_ranges @> r.key and (p_regex is null or r.key ~ p_regex)
             and not exists (select from pgstate.claim c where c.key = r.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
           order by r.priority desc, r.ready_at, r.id limit v_room) m
    )
    select array(
             select e.key
               from ready m
               join pgstate.entry e on e.key = m.key and e.value is not null and e.kind = 'run' and (e.expires_at is null or e.expires_at > v_now)
              order by m.priority desc, m.ready_at, m.id limit p_limit for update of e skip locked),
           exists (select from ready m group by m.name having count(*) = v_room)
      into v_keys, v_more;
    exit when cardinality(v_keys) = p_limit or not v_more;
    -- those were locked, or have expired: all are looked at
    v_room := null;
  end loop;
  return v_keys;
end
$$;
comment on function pgstate._ready_runs(text[], pgstate.keymultirange, text, int) is 'Internal: locks runs that are ready for a worker.';
