-- The index on parents is jumped through, from each to the next, however many entries each has. Only parents of keys that the
-- caller reads are looked at: such a key lies in one of the ranges that the patterns and the grants have in common, so its
-- parent does, or is the directory that the range begins in. As the owner, because row-level security would cost each jump
-- more than the jump; the second wall stands here as a comparison of every key with what the caller reads.
create function pgstate._namespaces(p_ranges pgstate.keymultirange, p_patterns text[], p_depth int, p_limit int, p_offset int) returns setof text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_reads pgstate.keymultirange := pgstate._reachable('read') + '{}';
  v_now timestamptz := pgstate._now();
  v_regexes text[] := array(select coalesce(pgstate._pattern_regex(p), '') from unnest(p_patterns) p);
  v_within pgstate.keymultirange[] := array(select pgstate._pattern_ranges(p) from unnest(p_patterns) p);
  v_low text;
  v_high text;
  v_next text;
  v_out text;
  -- shortened ones that were returned and that may come again
  v_open text[] := '{}';
  v_passed int := 0;
begin
  for v_low, v_high in
    select r.low, r.high from pgstate._spans(p_ranges) r order by r.low collate "C"
  loop
    -- the directory that the range begins in comes before it
    v_next := left(v_low, -greatest(strpos(reverse(v_low), '/'), 1));
    if v_next = '' then
      v_next := null;
    elsif v_low = v_next || '/' and v_high collate "C" >= v_next || '0' then
      -- all of it. Told where its keys lie, the planner might go through all below for one that is right in it
      v_next := (select e.parent from pgstate.entry e
                  where e.parent = v_next and e.live and (e.expires_at is null or e.expires_at > v_now) and v_reads @> e.key limit 1);
    else
      v_next := (select e.parent from pgstate.entry e
                  where e.parent = v_next and e.live and (e.expires_at is null or e.expires_at > v_now)
                    and e.key >= v_low and e.key < v_high and v_reads @> e.key limit 1);
    end if;
    v_out := v_low;
    loop
      if v_next is null then
        exit when v_out is null;
      elsif v_next <> '' then
        v_out := v_next;
        for v_place in 1 .. cardinality(v_regexes) loop
          if not v_within[v_place] @> v_next or v_next !~ v_regexes[v_place] then
            v_out := null;
            exit;
          end if;
        end loop;
        if v_out is null then
          v_out := v_next || chr(1);
        elsif p_depth is null then
          v_passed := v_passed + 1;
          if v_passed > p_offset then
            return next v_next;
          end if;
          v_out := v_next || chr(1);
        else
          v_out := array_to_string((string_to_array(v_next, '/'))[:p_depth], '/');
          v_open := array(select o from unnest(v_open) o where (o || '0') collate "C" > v_next);
          if v_out <> all (v_open) then
            v_open := v_open || v_out;
            v_passed := v_passed + 1;
            if v_passed > p_offset then
              return next v_out;
            end if;
          end if;
          -- of those that are cut short alike one is enough
          v_out := case when v_out = v_next then v_next || chr(1) else v_out || '0' end;
        end if;
        if v_passed - p_offset >= p_limit then
          return;
        end if;
      else
        v_out := chr(1);
      end if;
      -- no key lies below a single one
      exit when v_high = v_low || chr(1);
      v_next := (select e.parent from pgstate.entry e
                  where e.live and e.parent >= greatest(v_out, v_low) and e.parent < v_high and (e.expires_at is null or e.expires_at > v_now)
                    and e.key >= v_low and e.key < v_high and v_reads @> e.key
                  order by e.parent limit 1);
      v_out := null;
    end loop;
  end loop;
end
$$;
comment on function pgstate._namespaces(pgstate.keymultirange, text[], int, int, int) is 'Internal: namespaces().';
