-- What started it and what it was forked from are keys of others, for whoever may read those.
create function pgstate._runs(p_ranges pgstate.keymultirange, p_regex text, p_states text[], p_limit int, p_reads pgstate.keymultirange) returns setof pgstate.run_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_reads pgstate.keymultirange := p_reads + '{}';
begin
  -- as in list()
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select r.key::text, r.name::text, s.state, e.value ->> 'step', (e.value -> 'steps')::bigint, c.holder, c.lease_until,
               coalesce(c.attempts, 0), r.priority, case when r.ready_at > v_now then r.ready_at end, r.deadline,
               case when r.result_type = 'error' then pgstate._text_of(r.result) end,
               case when r.result_type = 'json' then pgstate._json_of(r.result) end, case when r.input_type = 'json' then pgstate._json_of(r.input) end,
               r.code, case when v_reads @> r.parent then r.parent::text end, case when v_reads @> r.forked_from then r.forked_from::text end, r.forked_step::text, e.version, r.begun_at, e.updated_at, r.ended_at
          from pgstate.run r join pgstate.entry e on e.key = r.key
          left join lateral (select x.holder, x.lease_until, x.attempts from pgstate.claim x where x.key = r.key and x.lease_until > v_now offset 0) c on true
          cross join lateral (select case when r.state <> 'open' then r.state when c.lease_until is not null then 'running' else 'waiting' end as state) s
         where r.key >= span.low and r.key < span.high and e.value is not null and (e.expires_at is null or e.expires_at > v_now)
           and (p_regex is null or r.key ~ p_regex) and (p_states is null or s.state = any (p_states))
         order by r.key limit p_limit
      ) m
     limit p_limit;
end
$$;
comment on function pgstate._runs(pgstate.keymultirange, text, text[], int, pgstate.keymultirange) is 'Internal: runs within ranges, in key order.';
