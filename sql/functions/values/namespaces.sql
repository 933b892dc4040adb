-- Where there are entries: the index on parents is jumped through, from each to the next, however many entries each has. Only
-- parents of keys that the caller reads are looked at: such a key lies in one of the ranges that the pattern and the grants have in
-- common, so its parent does, or is the directory that the range begins in.
create function pgstate.namespaces(
  pattern text, matching text[] default null, depth int default null, "limit" int default 100, "offset" int default 0, agent text default null
) returns setof text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(namespaces.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regexes text[];
  v_within pgstate.keymultirange[];
  v_low text;
  v_high text;
  v_next text;
  v_out text;
  v_one text;
  v_cut boolean;
  -- shortened ones that were returned and that may come again
  v_open text[] := '{}';
  v_passed int := 0;
begin
  v_ranges := pgstate.keymultirange(pgstate.keyrange(null, null, '()'));
  foreach v_one in array namespaces.pattern || coalesce(namespaces.matching, '{}') loop
    perform pgstate._check_pattern(v_one);
    v_regexes := v_regexes || coalesce(pgstate._pattern_regex(v_one), '');
    v_within := v_within || pgstate._pattern_ranges(v_one);
    -- of the keys below
    v_ranges := v_ranges * pgstate._pattern_ranges(case when v_one = '' or v_one ~ '(^|/)\*\*$' then v_one else v_one || '/**' end);
  end loop;
  if namespaces."limit" is null or namespaces."limit" not between 1 and 100000 or namespaces."offset" is null or namespaces."offset" < 0 or namespaces.depth < 1 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, offset 0 or more, depth 1 or more';
  end if;
  if namespaces.pattern <> '' and isempty(pgstate._pattern_ranges(namespaces.pattern || case when namespaces.pattern ~ '(^|/)\*\*$' then '' else '/**' end) * v_actor.reads) then
    perform pgstate._deny();
  end if;
  v_ranges := v_ranges * v_actor.reads;
  for v_low, v_high in
    select coalesce(case when lower_inc(r) then lower(r) else lower(r) || chr(1) end, ''),
           coalesce(case when upper_inc(r) then upper(r) || chr(1) else upper(r) end, chr(127))
      from unnest(v_ranges) r order by r
  loop
    -- the directory that the range begins in comes before it
    v_next := left(v_low, -greatest(strpos(reverse(v_low), '/'), 1));
    loop
      if v_next = '' or not exists (
        select from pgstate.entry e
         where e.parent = v_next and e.live and (e.expires_at is null or e.expires_at > v_now) and e.key >= v_low and e.key < v_high)
      then
        v_out := null;
      else
        v_out := v_next;
        for v_place in 1 .. cardinality(v_regexes) loop
          if not v_within[v_place] @> v_next or v_next !~ v_regexes[v_place] then
            v_out := null;
          end if;
        end loop;
      end if;
      v_cut := false;
      if v_out is not null and namespaces.depth is not null then
        v_out := array_to_string((string_to_array(v_next, '/'))[:namespaces.depth], '/');
        v_cut := v_out <> v_next;
        v_open := array(select o from unnest(v_open) o where (o || '0') collate "C" > v_next);
        if v_out = any (v_open) then
          v_out := null;
        else
          v_open := v_open || v_out;
        end if;
      end if;
      if v_out is not null then
        v_passed := v_passed + 1;
        if v_passed > namespaces."offset" then
          return next v_out;
          if v_passed - namespaces."offset" = namespaces."limit" then
            return;
          end if;
        end if;
      end if;
      -- behind it; of those that are cut short alike one is enough
      v_next := case when v_cut then array_to_string((string_to_array(v_next, '/'))[:namespaces.depth], '/') || '0' else v_next || chr(1) end;
      v_next := (select e.parent from pgstate.entry e where e.live and e.parent >= greatest(v_next, v_low) and e.parent < v_high order by e.parent limit 1);
      exit when v_next is null;
    end loop;
  end loop;
end
$$;
comment on function pgstate.namespaces(text, text[], int, int, int, text) is
  'Keys under which there are entries (their keys without the last segment), that match a pattern and all of matching, of entries that the caller may read. depth cuts them short, each once, to that many segments. limit 1 to 100000, offset: how many to pass over. PS002 PS007 PS010.';
