-- Checked first, then read by range: only the ranges that both the pattern and the grants cover are touched, so that
-- hidden keys cost no time.
create function pgstate.list(pattern text default '', "limit" int default 1000, after text default null, bookmark boolean default false, agent text default null,
  claimed boolean default null, min_trust text default null)
returns setof pgstate.listed
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(list.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_cursor text;
  v_min pgstate.trust := pgstate._trust_named(list.min_trust);
begin
  v_ranges := pgstate._page_ranges(v_actor, list.pattern, list."limit", list.after);
  v_regex := pgstate._pattern_regex(list.pattern);
  -- a standby has no feed to go on with, but entries to list
  if not pg_is_in_recovery() then
    v_cursor := pgstate._cursor(v_actor);
  end if;
  -- The lateral subquery forces a nested loop over the ranges in their order, so rows come in key order without a sort,
  -- and the outer limit ends the scan with the page. The bounds are columns, because under row-level security a key is
  -- looked up in the index only by what no function computes there. Casting kind and trust takes a tenth of the time of a row.
  if list.claimed is not null then
    return query select * from pgstate._list_claimed(v_ranges, v_regex, list."limit", list.claimed, case when not list.bookmark then v_cursor end, v_now, v_min);
  else
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
               e.version, case when e.kind = 'value' then 'value' else e.kind::text end, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority,
               e.not_before, case when not list.bookmark then v_cursor end, case when e.trust = 'agent' then 'agent' else e.trust::text end
          from pgstate.entry e
         where e.key >= span.low and e.key < span.high and e.live and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
           and (v_min is null or e.trust >= v_min)
         order by e.key limit list."limit"
      ) m
     limit list."limit";
  end if;
  if list.bookmark then
    return next row(null, null, null, null, null, null, null, null, null, null, null, v_cursor, null)::pgstate.listed;
  end if;
end
$$;
comment on function pgstate.list(text, int, text, boolean, text, boolean, text) is
  'Entries that match a pattern and that the caller may read, in key order. limit 1 to 100000 (null: all), after: the last key of the page before. Every row carries the cursor of this statement; with bookmark only one more row does, the last, whose key is null: it comes even when nothing is listed. Null on a standby, which has no feed. claimed: only those that somebody holds (true), or that nobody does (false). min_trust: only those that are trusted at least so far. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';
