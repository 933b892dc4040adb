create function pgstate.search(
  pattern text default '', query text default null, filter jsonb default null, "limit" int default 10, after text default null,
  mode text default null, vector real[] default null, vectors text default null, model text default null, agent text default null,
  "offset" int default 0, "order" text default null
) returns setof pgstate.found
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(search.agent);
  v_query text := nullif(btrim(search.query), '');
  v_path jsonpath := pgstate._filter_path(search.filter);
  v_mode text := search.mode;
  v_index pgstate.vector_index;
  v_ranges pgstate.keymultirange;
  v_parts pgstate._search_part[] := '{}';
  v_after text[];
begin
  perform pgstate._check_pattern(search.pattern);
  if search."limit" is null or search."limit" not between 1 and 10000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 10000';
  elsif search."offset" is null or search."offset" not between 0 and 1000000 then
    raise exception using errcode = 'PS007', message = 'offset is 0 to 1000000';
  elsif (search."order" is null or search."order" = 'newest' and v_query is null and search.vector is null and search.after is null) is not true then
    raise exception using errcode = 'PS007', message = 'order is newest or null; nothing else may give one, and pages go on by offset';
  elsif octet_length(v_query) > 8192 then
    raise exception using errcode = 'PS007', message = 'a query has 8 kB at most';
  end if;
  -- a line of dashes, or of a table, is no word that must not occur; and of so many the server's parser makes an internal error
  v_query := regexp_replace(v_query, E'(?<![^\\s!&|()"])-(?:[\\s!&|()]*-){2,}', ' ', 'g');
  v_actor.reads := v_actor.reads + '{}';
  v_ranges := pgstate._pattern_ranges(search.pattern) * v_actor.reads;
  if isempty(v_ranges) and search.pattern <> '' then
    perform pgstate._deny();
  end if;
  if search.vector is not null then
    v_index := pgstate._vectors_for(v_ranges, search.vectors, search.model);
    if v_index.id is not null then
      perform pgstate._checked_vector(v_index, search.model, search.vector);
    end if;
  end if;
  if v_mode is null and v_query is not null then
    v_mode := case when v_index.id is not null then 'hybrid' else 'text' end;
  elsif v_mode is null and search.vector is not null then
    v_mode := 'vector';
  elsif (v_mode is null or v_mode in ('text', 'vector', 'hybrid')) is not true or v_mode in ('text', 'hybrid') and v_query is null
        or v_mode in ('vector', 'hybrid') and search.vector is null then
    raise exception using errcode = 'PS007', message = 'mode is text (with a query), vector (with a vector), hybrid (with both) or null',
      hint = 'In Python connect(embed=…) makes vectors of queries.';
  end if;
  if v_mode in ('vector', 'hybrid') and v_index.id is null then
    raise exception using errcode = 'PS007', message = 'there are no vectors where the pattern reaches',
      hint = 'set_search(subtree, vectors => name) has entries embedded; create_vectors(name, dims, model) makes the index.';
  elsif v_mode is null then
    return query select f.* from pgstate._found_listed(v_ranges, pgstate._pattern_regex(search.pattern), v_path, pgstate._filter_scalars(search.filter), search."limit", search.after,
                                                   search."offset", search."order" is not null) f;
    return;
  end if;
  if search.after is not null then
    v_after := regexp_match(search.after, E'^(-?[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?) ([0-9]{1,9}) ([!-~]+)$');
    if v_after is null or not pgstate._key_ok(v_after[3]) then
      raise exception using errcode = 'PS007', message = 'after is what the last row of the page before has in its column after';
    end if;
  end if;
  if v_mode <> 'vector' then
    v_parts := array(select p from pgstate._search_plan(v_ranges, v_actor.reads) p);
  end if;
  return query
    select f.* from pgstate._found_ranked(v_mode, v_parts, v_ranges, pgstate._pattern_regex(search.pattern), v_path, v_query, v_index,
                                          search.vector, search."limit", v_after, search."offset") f;
end
$$;
comment on function pgstate.search(text, text, jsonb, int, text, text, real[], text, text, text, int, text) is
  'Entries that match a pattern and that the caller may read, by a query as people type it (words, "a phrase", or, -not), by a vector, or both; without either those that fit the filter, in key order. filter: see matches(). limit 1 to 10000; after: the column of that name in the last row of the page before; offset: how many to pass over. order newest: by the time of the last write instead of the key. mode: text (ts_rank_cd), vector (distance; score is 1 - distance for cosine, else its opposite), hybrid (reciprocal rank fusion: the sum of 1 / (60 + rank)); unless given, what the arguments allow. vectors names the vector index where the pattern reaches several, model the model that the vector is of. Works anywhere; set_search() makes it fast, and finds vectors. PS002 PS007 PS010 PS050.';
