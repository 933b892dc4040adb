-- What the index has of a query. As the owner, because an index on words is of no use under row-level security; the second wall
-- stands here as a comparison of every key with what the caller reads.
create function pgstate._text_matches(p_parts pgstate._search_part[], p_query text)
returns table (key text, version bigint, rank real)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_reads pgstate.keymultirange := pgstate._reachable('read') + '{}';
begin
  return query
    with part as materialized (
      select p.how, p.rule_id, p.low, p.high, q.query, case when p.how = 'scope' then pgstate._scoped_query(q.query, pgstate._mark_of(r.salt, p.dir)) end as scoped
        from unnest(p_parts) p
        join pgstate.search_rule r on r.id = p.rule_id
        cross join lateral (select websearch_to_tsquery(pgstate._config(p.config), p_query) as query) q
       where p.how in ('scope', 'scan') and numnode(q.query) > 0
    )
    select d.key, d.version, ts_rank_cd(d.words, p.query)
      from part p
      cross join lateral (
        -- by the words alone: with nothing known of the keys, the index on those looks cheaper
        select x.* from pgstate.search_doc x where x.scoped @@ p.scoped offset 0) d
     where p.how = 'scope' and p.scoped is not null and d.key >= p.low and d.key < p.high and d.rule_id = p.rule_id and d.words @@ p.query and v_reads @> d.key
    union all
    select d.key, d.version, ts_rank_cd(d.words, p.query)
      from part p
      cross join lateral (select x.* from pgstate.search_doc x where x.key >= p.low and x.key < p.high) d
     where (p.how = 'scan' or p.scoped is null) and d.rule_id = p.rule_id and d.words @@ p.query and v_reads @> d.key;
end
$$;
comment on function pgstate._text_matches(pgstate._search_part[], text) is 'Internal: keys whose indexed words match a query.';
