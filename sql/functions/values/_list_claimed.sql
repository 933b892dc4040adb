-- list() for claimed => true or false, apart from it: a condition more would be paid by every row of every listing.
create function pgstate._list_claimed(
  p_ranges pgstate.keymultirange, p_regex text, p_limit int, p_claimed boolean, p_cursor text, p_now timestamptz, p_min pgstate.trust
) returns setof pgstate.listed
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
begin
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
               e.version, case when e.kind = 'value' then 'value' else e.kind::text end, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority,
               e.not_before, p_cursor, e.trust::text
          from pgstate.entry e
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > p_now) and (p_regex is null or e.key ~ p_regex) and (p_min is null or e.trust >= p_min)
           and p_claimed = exists (select from pgstate.claim c where c.key = e.key and c.lease_until > p_now offset 0)
         order by e.key limit p_limit
      ) m
     limit p_limit;
end
$$;
comment on function pgstate._list_claimed(pgstate.keymultirange, text, int, boolean, text, timestamptz, pgstate.trust) is 'Internal: entries that somebody holds, or that nobody does.';
