-- Without a query: entries that fit a filter, in key order, as list(), or those first that were written last.
create function pgstate._found_listed(p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_scalars jsonb, p_limit int, p_after text, p_offset int, p_newest boolean)
returns setof pgstate.found
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  if p_after is not null then
    if not pgstate._key_ok(p_after) then
      perform pgstate._bad_key(p_after);
    end if;
    p_ranges := p_ranges * multirange(pgstate._range(p_after || chr(1), chr(127)));
  end if;
  if p_newest then
    return query
      select e.key, v.value, e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, null::float8, null::real, null::float8, null::text
        from pgstate._newest(p_ranges, p_regex, p_path, p_scalars, p_limit, p_offset) f
        -- not as a join: of a table that is small the planner goes through all of it, for a thousand rows that it expects
        cross join lateral (select x.* from pgstate.entry x where x.key = f.key and x.live offset 0) e
        cross join lateral (
          select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value) v
       order by f.place;
    return;
  end if;
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, v.value, e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at,
               null::float8, null::real, null::float8, e.key as after
          from pgstate.entry e
          cross join lateral (
            select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value) v
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > v_now)
           and (p_regex is null or e.key ~ p_regex) and (p_scalars is null or v.value @> p_scalars) and (p_path is null or v.value @@ p_path)
         order by e.key limit p_limit + p_offset
      ) m
     limit p_limit offset p_offset;
end
$$;
comment on function pgstate._found_listed(pgstate.keymultirange, text, jsonpath, jsonb, int, text, int, boolean) is 'Internal: search() without a query.';
