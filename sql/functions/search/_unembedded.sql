-- In key order: nested loops over the ranges in theirs.
create function pgstate._unembedded(p_ranges pgstate.keymultirange, p_regex text, p_limit int) returns setof pgstate.unembedded_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return query
    select w.key, e.version, encode(w.digest, 'hex'), v.name, v.model, v.dims,
           pgstate._texts_of(pgstate._held_value(e), r.vector_fields)
      from (select x.low, x.high from pgstate._spans(p_ranges * pgstate._reachable('read')) x order by x.low collate "C") s
      cross join lateral (select x.* from pgstate.embedding_wanted x where x.key >= s.low and x.key < s.high and (p_regex is null or x.key ~ p_regex) order by x.key offset 0) w
      join pgstate.search_doc d on d.key = w.key and d.digest = w.digest
      join pgstate.search_rule r on r.id = d.rule_id
      join pgstate.vector_index v on v.name = r.vectors
      join pgstate.entry e on e.key = w.key and e.version = d.version and e.value is not null and (e.expires_at is null or e.expires_at > v_now)
     limit p_limit;
end
$$;
comment on function pgstate._unembedded(pgstate.keymultirange, text, int) is 'Internal: entries that wait for their vectors.';
