create function pgstate.namespaces(
  pattern text, matching text[] default null, depth int default null, "limit" int default 100, "offset" int default 0, agent text default null
) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(namespaces.agent);
  v_ranges pgstate.keymultirange := '{(,)}';
  v_one text;
begin
  if namespaces."limit" is null or namespaces."limit" not between 1 and 100000 or namespaces."offset" is null or namespaces."offset" < 0
     or namespaces.depth < 1 or cardinality(namespaces.matching) > 32 or array_ndims(namespaces.matching) > 1 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, offset 0 or more, depth 1 or more, and 32 patterns at most';
  end if;
  foreach v_one in array namespaces.pattern || coalesce(namespaces.matching, '{}') loop
    perform pgstate._check_pattern(v_one);
    -- of the keys below
    v_ranges := v_ranges * pgstate._pattern_ranges(case when v_one = '' or v_one ~ E'(^|/)\\*\\*$' then v_one else v_one || '/**' end);
    if v_one = namespaces.pattern and v_one <> '' and isempty(v_ranges * v_actor.reads) then
      perform pgstate._deny();
    end if;
  end loop;
  return query
    select n from pgstate._namespaces(v_ranges * v_actor.reads, namespaces.pattern || coalesce(namespaces.matching, '{}'), namespaces.depth,
                                      namespaces."limit", namespaces."offset") n;
end
$$;
comment on function pgstate.namespaces(text, text[], int, int, int, text) is
  'Keys under which there are entries (their keys without the last segment), that match a pattern and all of matching, of entries that the caller may read. depth cuts them short, each once, to that many segments. limit 1 to 100000, offset: how many to pass over. PS002 PS007 PS010.';
