-- As list(): only the ranges that both the pattern and the grants cover are touched, in key order, and the limit ends the
-- scan. Entries are walked with their tombstones, since what is deleted now may have been there; of each the version of
-- then is looked for from its newest down. Keys that came later cost a look each.
create function pgstate.list_as_of(
  pattern text default '', "limit" int default 1000, after text default null, cursor text default null, at timestamptz default null,
  bookmark boolean default false, agent text default null
) returns setof pgstate.past_listed
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(list_as_of.agent);
  v_moment pgstate._moment;
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_cursor text := list_as_of.cursor;
begin
  v_ranges := pgstate._page_ranges(v_actor, list_as_of.pattern, list_as_of."limit", list_as_of.after);
  if num_nonnulls(list_as_of.cursor, list_as_of.at) <> 1 then
    perform pgstate._check_as_of(num_nonnulls(list_as_of.cursor, list_as_of.at));
  end if;
  v_regex := pgstate._pattern_regex(list_as_of.pattern);
  v_moment := pgstate._moment(v_actor, list_as_of.cursor, list_as_of.at);
  if v_cursor is null and v_moment.epoch = v_actor.epoch and not pg_is_in_recovery() and v_actor.identity = pgstate._identity()
     and not pgstate._restored() then
    v_cursor := '1.' || pgstate._feed_place(v_actor) || '.' || v_moment.base;
  end if;
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select m.*
      from span
      cross join lateral (
        select e.key, case when p.reducer is null then p.value else pgstate._value_at(p.key, p.version) end,
               p.version, p.writer, p.via, p.at, p.expires_at,
               case when not list_as_of.bookmark then v_cursor end, p.trust::text
          from pgstate.entry e
          cross join lateral pgstate._then(e.key, e.version, v_moment.epoch, v_moment.base, v_moment.upto, v_moment.after, v_moment.seq) p
         where e.key >= span.low and e.key < span.high and (v_regex is null or e.key ~ v_regex)
           and p.value is not null and (p.expires_at is null or p.expires_at > v_moment.at)
         order by e.key limit list_as_of."limit"
      ) m
     limit list_as_of."limit";
  if list_as_of.bookmark then
    return next row(null, null, null, null, null, null, null, v_cursor, null)::pgstate.past_listed;
  end if;
end
$$;
comment on function pgstate.list_as_of(text, int, text, text, timestamptz, boolean, text) is
  'The entries that matched a pattern at a past state, of those that the caller may read now, in key order: at a cursor or a time, as in get_as_of(). limit, after and bookmark as in list(); the cursor is that of the past state, from which changes() tells all that came since (null for a time before a restore). PS001 PS002 PS007 PS010 PS020 PS021 PS022 PS023.';
