-- The nearest by the index that pgvector has, or null when that may not be used or does not find enough. Its graph leads
-- through all the vectors that are in it, and time and buffers would tell of those: so it is for callers who read
-- everything that it holds. What is filtered out is gone on behind (iterative scan, pgvector 0.8).
--
-- How widely the graph is searched grows with it, since a larger one has more places to be caught in: of the nearest 10 among
-- 100,000 the library's 40 found 0.94, 190 found 0.996 in a fifth more time; among 10,000 40 find all. Who has set more for the session, the
-- role or the database gets that. What a wider search finds in addition may lie before the place that a page goes on behind: so what
-- counts is how many are behind it. Of the lists of ivfflat the square root is looked at, as its authors advise.
create function pgstate._nearest_indexed(
  p_index pgstate.vector_index, p_schema text, p_ranges pgstate.keymultirange, p_reads pgstate.keymultirange, p_regex text, p_path jsonpath,
  p_vector real[], p_depth int, p_score float8, p_key text, p_seen int
) returns table (key text, distance float8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off
as $$
declare
  v_sql text;
  v_settings text[];
  v_keys text[];
  v_distances float8[];
  v_count bigint;
  v_live bigint;
  v_behind text[];
  v_wanted int := case when p_score is null then p_depth else p_depth - p_seen end;
  v_limit int := p_depth;
  v_now timestamptz := pgstate._now();
  v_rows real := (select c.reltuples from pg_class c where c.oid = to_regclass(format('pgstate.embedding_%s_idx', p_index.id)));
  v_done text;
begin
  if p_index.method = 'exact' or v_rows is null
     or (select string_to_array(substring(x.extversion from E'^\\d+\\.\\d+'), '.')::int[] < array[0, 8] from pg_extension x where x.extname = 'vector')
     -- where a rule has changed there may be vectors that none tells of any more
     or not p_reads @> (
       select coalesce(range_agg(h.ranges), '{(,)}')
         from (select r.ranges from pgstate.search_rule r where r.vectors = p_index.name
               union all select pgstate._pattern_ranges(b.subtree) from pgstate.search_build b) h)
  then
    return;
  end if;
  if current_setting('hnsw.iterative_scan', true) is null then
    -- the library makes its settings known when it is first used
    execute format('select %s', pgstate._vector_expression(p_index, p_schema, '$1')) using p_vector;
  end if;
  if p_index.method = 'hnsw' then
    v_settings := array[current_setting('hnsw.iterative_scan'), current_setting('hnsw.ef_search')];
    v_done := set_config('hnsw.iterative_scan', 'strict_order', true)
           || set_config('hnsw.ef_search', least(greatest(2 * p_depth, 40, 0.6 * sqrt(greatest(v_rows, 0)), v_settings[2]::int), 1000)::int::text, true);
  else
    v_settings := array[current_setting('ivfflat.iterative_scan'), current_setting('ivfflat.probes')];
    v_done := set_config('ivfflat.iterative_scan', 'relaxed_order', true)
           || set_config('ivfflat.probes', greatest(10, sqrt((p_index.options ->> 'lists')::int), v_settings[2]::int)::int::text, true);
  end if;
  -- planned anew each time: entries are in it only for a filter's sake. What is asked for is no constant, as in _newest_of_many()
  v_sql := format($sql$
    select array_agg(n.key), array_agg(n.distance), count(*) from (
      select m.key, %1$s operator(%2$I.%3$s) %4$s as distance
        from pgstate.embedding m %6$s
       where m.index_id = %5$s and $2 @> m.key %7$s
       order by %1$s operator(%2$I.%3$s) %4$s limit $6) n
    $sql$, pgstate._vector_expression(p_index, p_schema, 'm.vector'), p_schema,
    case p_index.distance when 'cosine' then '<=>' when 'l2' then '<->' else '<#>' end, pgstate._vector_expression(p_index, p_schema, '$1'), p_index.id,
    case when p_path is not null then 'join pgstate.entry e on e.key = m.key' end,
    concat(case when p_regex is not null then 'and m.key ~ (select $3)' end, case when p_path is not null then
      ' and e.live and (e.expires_at is null or e.expires_at > $4)
        and case when e.full_version < e.version then pgstate._held_value(e) else e.value end @@ (select $5)' end));
  for v_try in 1 .. 3 loop
    execute v_sql into v_keys, v_distances, v_count using p_vector, p_ranges, p_regex, v_now, p_path, v_limit;
    -- of an entry with several vectors the nearest counts
    if p_score is not null then
      v_behind := array(
        select n.key from (select u.key, min(u.distance) as distance from unnest(v_keys, v_distances) as u (key, distance) group by u.key) n
         cross join lateral (select case p_index.distance when 'cosine' then 1 - n.distance else - n.distance end as score) x
         where x.score < p_score or x.score = p_score and n.key > p_key);
    end if;
    v_live := (select count(*) from pgstate.entry e
                where e.key = any (coalesce(v_behind, v_keys)) and e.live and (e.expires_at is null or e.expires_at > v_now));
    exit when v_live >= v_wanted or v_count < v_limit;
    v_limit := v_limit * 4;
  end loop;
  v_done := set_config(p_index.method || '.iterative_scan', v_settings[1], true)
         || set_config(case p_index.method when 'hnsw' then 'hnsw.ef_search' else 'ivfflat.probes' end, v_settings[2], true);
  return query
    select n.key, min(n.distance) from unnest(v_keys, v_distances) as n (key, distance)
     where v_live >= v_wanted group by n.key;
end
$$;
comment on function pgstate._nearest_indexed(pgstate.vector_index, text, pgstate.keymultirange, pgstate.keymultirange, text, jsonpath, real[], int, float8, text, int) is
  'Internal: the nearest entries by the vector index; nothing when it may not be used or is not enough.';
