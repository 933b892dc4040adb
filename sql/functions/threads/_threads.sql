-- Where it was forked from is the key of another, for whoever may read that.
create function pgstate._threads(p_ranges pgstate.keymultirange, p_regex text, p_limit int, p_reads pgstate.keymultirange) returns setof pgstate.thread_row
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
        select t.key::text, e.value ->> 'checkpoint', e.value ->> 'ns', (e.value -> 'checkpoints')::bigint, (e.value -> 'bytes')::bigint,
               e.version, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, case when v_reads @> t.forked_from then t.forked_from::text end, t.forked_id::text
          from pgstate.thread t join pgstate.entry e on e.key = t.key
         where t.key >= span.low and t.key < span.high and e.value is not null and t.begun_at is not null
           and (e.expires_at is null or e.expires_at > v_now) and (p_regex is null or t.key ~ p_regex)
         order by t.key limit p_limit
      ) m
     limit p_limit;
end
$$;
comment on function pgstate._threads(pgstate.keymultirange, text, int, pgstate.keymultirange) is 'Internal: threads within ranges, in key order.';
