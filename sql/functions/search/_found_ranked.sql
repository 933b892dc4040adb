-- By words, by vectors, or both. Ranks come first, entries are looked up from the best one down until the page is full. Both
-- together by reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009, with their k of 60): 1 / (60 + rank) by each
-- half that found it. Of the vectors the nearest 200 count; the others come last (their scores are one less), so that a page
-- needs no more of them than come before its end, and the order is the same whatever the page.
create function pgstate._found_ranked(
  p_mode text, p_parts pgstate._search_part[], p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_query text,
  p_index pgstate.vector_index, p_vector real[], p_limit int, p_after text[], p_offset int
) returns setof pgstate.found
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set extra_float_digits = 1 -- a page goes on behind a score as text
as $$
declare
  v_now timestamptz := pgstate._now();
  v_score float8 := p_after[1]::float8;
  v_seen bigint := coalesce(p_after[2]::bigint, 0);
  v_key text := p_after[3];
begin
  return query
    with worded as (
      select w.key, w.version, w.rank from pgstate._text_matches(p_parts, p_query) w where p_mode <> 'vector'
      union all
      select w.key, w.version, w.rank from pgstate._value_matches(p_parts, p_query, p_regex, p_path) w where p_mode <> 'vector'
    ), near as (
      select n.key, n.distance from pgstate._nearest(p_index, p_ranges, p_regex, p_path, p_vector, (v_seen + p_offset + p_limit + case p_mode when 'hybrid' then 200 else 0 end)::int, p_mode <> 'vector' or p_after is not null,
                                                       case p_mode when 'vector' then v_score end, v_key, v_seen::int) n
       where p_mode <> 'text' and n.distance is not null
    ), ranked as (
      select w.key, w.version, w.rank::float8 as score, w.rank, null::float8 as distance from worded w where p_mode = 'text'
      union all
      select n.key, null, case p_index.distance when 'cosine' then 1 - n.distance else - n.distance end, null, n.distance from near n where p_mode = 'vector'
      union all
      select coalesce(w.key, n.key), w.version,
             case when n.place <= 200 or n.key is null or w.key is not null
                  then coalesce(1.0 / (60 + w.place), 0) + case when n.place <= 200 then 1.0 / (60 + n.place) else 0 end
                  else 1.0 / (60 + n.place) - 1 end::float8, w.rank, n.distance
        -- what is filtered out takes no rank
        from (select w.*, row_number() over (order by w.rank desc, w.key) as place
                from worded w
               where p_mode = 'hybrid' and (p_regex is null or w.key ~ p_regex) and (p_path is null or exists (
                 select from pgstate.entry e
                  where e.key = w.key and e.version = w.version
                    and case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end @@ p_path))) w
        full join (
          select n.*, row_number() over (order by n.distance, n.key) as place
            from near n
           where p_mode = 'hybrid' and (p_path is null or exists (
             select from pgstate.entry e
              where e.key = n.key
                and case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end @@ p_path))) n
          on n.key = w.key
       where p_mode = 'hybrid'
    ), ordered as materialized (
      select r.* from ranked r
       where v_score is null or r.score < v_score or r.score = v_score and r.key > v_key
       order by r.score desc, r.key
    ), page as (
      select e.*, r.score, r.rank, r.distance
        from ordered r
        cross join lateral (
          select x.key, v.value, x.version, x.kind::text as kind, x.writer, x.via, x.created_at, x.updated_at, x.expires_at
            from pgstate.entry x
            cross join lateral (
              select case when x.full_version < x.version then pgstate._grown(x.key, x.value, x.full_version, x.version) else x.value end as value) v
           where x.key = r.key and x.value is not null and (x.expires_at is null or x.expires_at > v_now)
             and (r.version is null or x.version = r.version)
             and (p_regex is null or x.key ~ p_regex) and (p_path is null or v.value @@ p_path)
          offset 0) e
       limit p_limit offset p_offset
    )
    select p.key, p.value, p.version, p.kind, p.writer, p.via, p.created_at, p.updated_at, p.expires_at, p.score, p.rank, p.distance,
           format('%s %s %s', p.score, v_seen + p_offset + row_number() over (), p.key)
      from page p;
end
$$;
comment on function pgstate._found_ranked(text, pgstate._search_part[], pgstate.keymultirange, text, jsonpath, text, pgstate.vector_index, real[], int, text[], int) is
  'Internal: search() by words, vectors, or both.';
