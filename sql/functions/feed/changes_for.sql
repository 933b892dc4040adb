-- A page of changes not visible in the cursor's snapshot and visible in the current one, in order of seq, for all the watches
-- of a process, whichever of its agents they belong to. Agents' ranges are cut to what they may read; row-level security is
-- in force as well. The last row is the bookmark. STABLE, like all that it calls: every statement inside must read the
-- caller's one snapshot. One function, and few expressions in it: it is on the way from a write to its watchers. A page ends
-- early when its values, as they are stored, come to 16 MB.
create function pgstate.changes_for(cursor text, agents text[], patterns text[], "limit" int default 1000, upto text default null, min_trust text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor;
  v_lone boolean;
  v_look pgstate._look;
  v_wanted pgstate._wanted;
  v_agents text[];
  v_ranges pgstate.keymultirange[];
  v_regexes text[];
  v_place text;
  v_position pgstate._position;
  v_upto pg_snapshot;
  v_base pg_snapshot;
  v_top xid8;
  v_running xid8[];
  v_start bigint;
  v_window pgstate._window;
  v_page pgstate._feed_row[];
  v_full boolean;
  v_last bigint;
  v_head text;
  v_change pgstate.change;
  v_cursor text;
  v_bytes bigint := 0;
  v_min pgstate.trust;
begin
  if changes_for.min_trust is not null then
    v_min := pgstate._trust_named(changes_for.min_trust);
  end if;
  if (cardinality(changes_for.agents) > 0 and cardinality(changes_for.agents) = cardinality(changes_for.patterns)
      and changes_for."limit" between 1 and 10000) is not true then
    raise exception using errcode = 'PS007', message = 'agents and patterns must be arrays of equal length, at least 1; limit is 1 to 10000';
  end if;
  v_lone := changes_for.agents[1] = all (changes_for.agents);
  if v_lone then
    -- most processes have one agent
    v_wanted := pgstate._wanted(changes_for.patterns);
    if changes_for.upto is null then
      v_look := pgstate._look(changes_for.agents[1], changes_for.cursor, 1000);
    end if;
    if v_look.found is null then
      v_actor := pgstate._enter(changes_for.agents[1]);
    elsif v_look.found <= 1 then
      -- what a watch reads when little happens
      if v_look.found = 1 then
        return query
          select v_look.agent, v.key, v.version, v.op::text, case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end,
                 (select case when b.reducer is null then b.value else pgstate._value_at(b.key, b.version) end
                    from pgstate.version b where b.key = v.key and b.version = v.prior),
                 v.created, v.writer, v.via, v.at, v.expires_at,
                 v_look.head || v_look.base || '.' || v_look.upto || '.' || v.seq || '.' || v.seq, true, v.trust::text
            -- prior is a column: under row-level security an expression over one is no index condition
            from (select x.*, x.version - 1 as prior from pgstate.version x
                   where x.epoch = v_look.epoch and x.xid >= pg_snapshot_xmax(v_look.base) and pg_visible_in_snapshot(x.xid, v_look.upto)
                     and v_look.reads @> x.key and v_wanted.ranges @> x.key and (v_wanted.regex is null or x.key ~ v_wanted.regex)
                     and (v_min is null or x.trust >= v_min) offset 0) v;
      end if;
      return next row(null, null, null, 'bookmark', null, null, null, null, null, null, null, v_look.head || v_look.upto, true, null)::pgstate.change;
      return;
    else
      v_actor.name := v_look.agent;
      v_actor.epoch := v_look.epoch;
      v_actor.reads := v_look.reads;
    end if;
    v_agents := array[v_actor.name];
    v_ranges := array[v_wanted.ranges * v_actor.reads];
    v_regexes := array[v_wanted.regex];
  else
    v_agents := array(select distinct n from unnest(changes_for.agents) n order by n);
    v_actor := pgstate._enter_for(v_agents);
    select array_agg(a.name order by a.name), array_agg(a.ranges order by a.name), array_agg(a.regex order by a.name)
      into v_agents, v_ranges, v_regexes
      from (
        select g.name, (g.wanted).ranges * pgstate._reads_of(g.name) as ranges, (g.wanted).regex as regex
          from (select split_part(w.name, '/', 1) as name, pgstate._wanted(array_agg(w.pattern)) as wanted
                  from unnest(changes_for.agents, changes_for.patterns) w (name, pattern) group by 1 offset 0) g) a;
  end if;

  if v_look.found is not null then
    v_head := v_look.head;
    v_position := row(v_look.base, null, 0, 0);
    v_base := v_look.base;
    v_upto := v_look.upto;
    v_top := pg_snapshot_xmax(v_base);
  else
    v_place := pgstate._feed_place(v_actor);
    v_head := '1.' || v_place || '.';
    v_position := pgstate._position(changes_for.cursor, v_place, v_actor.horizon);
    v_upto := v_position.upto;
    v_base := v_position.base;
    v_top := pg_snapshot_xmax(v_base);
    if pg_snapshot_xmin(v_base) < v_top then
      v_running := array(select pg_snapshot_xip(v_base));
    end if;
    if v_upto is not null then
      v_start := v_position.after;
    elsif changes_for.upto is null then
      v_window := pgstate._window(v_actor.epoch, v_top, v_running, 1000);
      v_upto := v_window.upto;
      v_start := v_window.start;
    else
      v_upto := (pgstate._position(changes_for.upto, v_place, v_actor.horizon)).base;
      if v_top > pg_snapshot_xmax(v_upto) or exists (select from pg_snapshot_xip(v_upto) x where pg_visible_in_snapshot(x, v_base)) then
        raise exception using errcode = 'PS020', message = 'upto lies before the cursor';
      end if;
      v_start := pgstate._window_start(v_actor.epoch, v_top, v_running, 1000);
    end if;
  end if;

  -- large values are read when their rows are sent: together they may be more than an array holds
  if v_start is null then
    v_page := array(
      select row(c.key, c.version, c.seq, c.xid, c.op, c.created, case when pg_column_size(c.value) < 2000 then c.value end, c.reducer,
                 c.writer, c.via, c.at, c.expires_at, c.trust)::pgstate._feed_row
        from (
          (select v.* from pgstate.version v where v.epoch = v_actor.epoch and v.xid >= v_top order by v.xid limit 1001)
          union all
          select v.* from unnest(v_running) r cross join lateral (
            select x.* from pgstate.version x where x.epoch = v_actor.epoch and x.xid = r offset 0) v
        ) c
       where pg_visible_in_snapshot(c.xid, v_upto)
         and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex) where w.ranges @> c.key and (w.regex is null or c.key ~ w.regex))
         and (v_min is null or c.trust >= v_min)
       order by c.seq limit changes_for."limit" + 1);
  else
    v_page := array(
      select row(c.key, c.version, c.seq, c.xid, c.op, c.created, case when pg_column_size(c.value) < 2000 then c.value end, c.reducer,
                 c.writer, c.via, c.at, c.expires_at, c.trust)::pgstate._feed_row
        from pgstate.version c
       where c.seq > v_start and c.epoch = v_actor.epoch
         and not pg_visible_in_snapshot(c.xid, v_base) and pg_visible_in_snapshot(c.xid, v_upto)
         and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex) where w.ranges @> c.key and (w.regex is null or c.key ~ w.regex))
         and (v_min is null or c.trust >= v_min)
       order by c.seq limit changes_for."limit" + 1);
  end if;
  v_full := cardinality(v_page) > changes_for."limit";
  if v_full then
    v_page := v_page[1 : changes_for."limit"];
  end if;
  v_last := v_page[cardinality(v_page)].seq;

  if cardinality(v_page) > 0 then
    for v_change in
      with page as materialized (
        select u.*, u.version - 1 as prior from unnest(v_page) u
      ), ending as materialized (
        -- where each transaction of the page ends, among the changes that this reader gets
        select p.xid, greatest(max(p.seq), case when v_full then (
                 select max(v.seq) from pgstate.version v
                  where v.epoch = v_actor.epoch and v.xid = p.xid and v.seq > v_last
                    and (v_min is null or v.trust >= v_min)
                    and exists (select from unnest(v_ranges, v_regexes) w (ranges, regex)
                                 where w.ranges @> v.key and (w.regex is null or v.key ~ w.regex))) end) as seq
          from page p group by p.xid
      ), marked as (
        -- until: where the last of the transactions begun so far in this window ends; earlier pages count
        select p.*, greatest(v_position.until, max(e.seq) over (order by p.seq)) as until from page p join ending e on e.xid = p.xid
      )
      select w.agent, m.key, m.version, m.op,
             case when m.reducer is not null then pgstate._value_at(m.key, m.version) when m.value is not null then m.value
                  else (select v.value from pgstate.version v where v.key = m.key and v.version = m.version) end,
             before.value, m.created, m.writer, m.via, m.at, m.expires_at,
             v_head || v_base || '.' || v_upto || '.' || m.seq || '.' || m.until, m.until <= m.seq, m.trust::text
        from marked m
        join unnest(v_agents, v_ranges, v_regexes) w (agent, ranges, regex) on w.ranges @> m.key and (w.regex is null or m.key ~ w.regex)
        left join lateral (
          select case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end as value
            from pgstate.version v where v.key = m.key and v.version = m.prior) before on true
       order by m.seq, w.agent
    loop
      -- between two changes, and not between the agents that get one
      if v_bytes > 16777216 and v_change.cursor <> v_cursor then
        v_full := true;
        exit;
      end if;
      return next v_change;
      v_cursor := v_change.cursor;
      v_bytes := v_bytes + coalesce(pg_column_size(v_change.value), 0) + coalesce(pg_column_size(v_change.previous), 0);
    end loop;
  end if;
  return next row(null, null, null, 'bookmark', null, null, null, null, null, null, null,
                  case when v_full then v_cursor else v_head || v_upto end,
                  -- a cursor from inside a page is read to that page's end first: what came since is next
                  not v_full and v_position.upto is null, null)::pgstate.change;
end
$$;
comment on function pgstate.changes_for(text, text[], text[], int, text, text) is
  'changes() for several watches at once: agents and patterns side by side, each agent one that the login may act for; every row names the agent that it is for. PS002 PS007 PS010 PS020 PS021 PS022.';
