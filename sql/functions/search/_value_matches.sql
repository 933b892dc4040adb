-- As _text_matches(), for keys of which nothing is indexed (yet): by their values. To take a value apart into words costs fifty
-- times what a filter does, so that comes first.
create function pgstate._value_matches(p_parts pgstate._search_part[], p_query text, p_regex text, p_path jsonpath)
returns table (key text, version bigint, rank real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return query
    select e.key, e.version, ts_rank_cd(w.words, w.query)
      from unnest(p_parts) p
      cross join lateral (
        select x.* from pgstate.entry x
         where x.key >= p.low and x.key < p.high and x.live and (x.expires_at is null or x.expires_at > v_now) and (p_regex is null or x.key ~ p_regex)
        offset 0) e
      cross join lateral (
        select h.value
          from (select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value offset 0) h
         where p_path is null or h.value @@ p_path
        offset 0) f
      left join lateral (select r.* from pgstate._rule_of(e.key) r where p.ruled) r on true
      cross join lateral (
        select pgstate._words(coalesce(r.config, 'english'), coalesce(r.fields, array['$']), f.value) as words,
               websearch_to_tsquery(pgstate._config(coalesce(r.config, 'english')), p_query) as query offset 0) w
     where p.how = 'fly' and w.words @@ w.query;
end
$$;
comment on function pgstate._value_matches(pgstate._search_part[], text, text, jsonpath) is 'Internal: keys whose values match a query and fit a filter.';
