-- Entries by the distance of their nearest vector: at least p_depth of them if there are that many, and no more than it takes
-- unless p_all; of those behind p_score and p_key p_depth less p_seen, which lie before. A small range is compared vector by vector, which is exact and misses nothing beside larger ones; a large one by
-- the index where that may be used.
create function pgstate._nearest(
  p_index pgstate.vector_index, p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_vector real[], p_depth int, p_all boolean,
  p_score float8, p_key text, p_seen int
) returns table (key text, distance float8)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_schema text := pgstate._vector_schema();
  v_reads pgstate.keymultirange := pgstate._reachable('read') + '{}';
  v_lows text[];
  v_highs text[];
  v_keys text[];
  v_distances float8[];
  v_count bigint;
  v_limit bigint := p_depth;
begin
  select array_agg(r.low), array_agg(r.high) into v_lows, v_highs from pgstate._spans(p_ranges * v_reads) r;
  -- counting takes as long as a tenth of the search; where no vector is outside, the index knows how many it holds
  if cardinality(v_lows) = 1 and (select c.reltuples from pg_class c where c.oid = to_regclass(format('pgstate.embedding_%s_idx', p_index.id))) >= 2000
     and not exists (select from pgstate.embedding m where m.key < v_lows[1]) and not exists (select from pgstate.embedding m where m.key >= v_highs[1])
     or exists (select from unnest(v_lows, v_highs) as s (low, high) join pgstate.embedding m on m.key >= s.low and m.key < s.high offset 1999)
  then
    return query select n.* from pgstate._nearest_indexed(p_index, v_schema, p_ranges * v_reads, v_reads, p_regex, p_path, p_vector, p_depth, p_score, p_key, p_seen) n;
    if found then
      return;
    end if;
  end if;
  loop
    -- entries are looked at where the filter is: here only whether enough of them are there. A pattern that were a constant would be tried on
    -- what statistics have of keys: see _newest_of_many()
    execute format($sql$
      select array_agg(n.key), array_agg(n.distance), count(*) from (
        select m.key, min(%s operator(%I.%s) %s) as distance
          from unnest($2, $3) as s (low, high)
          join pgstate.embedding m on m.key >= s.low and m.key < s.high
         where m.index_id = %s and ($4 is null or m.key ~ (select $4))
         group by m.key order by 2, 1 limit $5) n
      $sql$, pgstate._vector_expression(p_index, v_schema, 'm.vector'), v_schema,
      case p_index.distance when 'cosine' then '<=>' when 'l2' then '<->' else '<#>' end, pgstate._vector_expression(p_index, v_schema, '$1'), p_index.id)
      into v_keys, v_distances, v_count using p_vector, v_lows, v_highs, p_regex, case when not p_all and p_path is null then v_limit end;
    exit when p_all or p_path is not null or v_count < v_limit
           or (select count(*) from pgstate.entry e where e.key = any (v_keys) and e.live and (e.expires_at is null or e.expires_at > pgstate._now())) >= p_depth;
    v_limit := v_limit * 4;
  end loop;
  return query select n.key, n.distance from unnest(v_keys, v_distances) as n (key, distance);
end
$$;
comment on function pgstate._nearest(pgstate.vector_index, pgstate.keymultirange, text, jsonpath, real[], int, boolean, float8, text, int) is 'Internal: entries by the distance of their vectors.';
