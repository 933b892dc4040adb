-- One step along the feed: up to p_limit versions that have come to the age of this sweep and that every live cursor has
-- seen, and then the older ones of their keys that no policy keeps; at the last one of a key that is not there any more, the
-- key itself, where only that version is kept or its time has passed. Versions are never updated, so nobody waits for this.
create function pgstate._sweep(p_sweep pgstate.sweep, p_epoch int, p_xmin xid8, p_top xid8, p_last xid8, p_limit int) returns pgstate.maintained
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  -- ages that are equal as intervals (a year and 360 days) share a sweep, and are not equally long
  v_before timestamptz := least(v_now - p_sweep.delay, (select min(v_now - p.keep_age) from pgstate.policy p where p.keep_age = p_sweep.delay));
  v_row record;
  v_last record;
  v_keys text[] := '{}';
  v_versions bigint[] := '{}';
  v_seen int := 0;
  v_keep pgstate._keep;
  v_purged pgstate._purged;
  v_removed bigint := 0;
  v_horizon pgstate._purged;
  v_top record;
begin
  for v_row in
    select v.epoch, v.xid, v.seq, v.key, v.version, v.at, v.value is null as dead from pgstate.version v
     where (v.epoch, v.xid, v.seq) > (p_sweep.epoch, p_sweep.xid, p_sweep.seq)
     order by v.epoch, v.xid, v.seq limit p_limit
  loop
    exit when v_row.epoch >= p_epoch and v_row.xid >= p_xmin or v_row.at > v_before;
    v_keys := v_keys || v_row.key;
    v_versions := v_versions || v_row.version;
    if v_row.dead then
      v_keep := pgstate._keep_of(v_row.key);
      if (case when p_sweep.delay = interval '0' then v_keep.versions = 1 else v_keep.age = p_sweep.delay end) then
        v_purged := pgstate._purge(v_row.key, v_row.version, p_epoch, p_last);
        -- nothing else would come back to it
        exit when v_purged.removed is null;
        v_removed := v_removed + v_purged.removed;
        if v_purged.epoch is not null then
          -- the last one has the highest
          v_horizon := v_purged;
        end if;
      end if;
    end if;
    v_last := v_row;
    v_seen := v_seen + 1;
  end loop;
  if cardinality(v_keys) = 0 then
    return row('ok', 0, false)::pgstate.maintained;
  end if;
  perform pgstate._raise_horizon(v_horizon.epoch, v_horizon.xid);

  with ripe as materialized (
    select r.key, max(r.version) as version from unnest(v_keys, v_versions) r (key, version) group by r.key
  ), due as materialized (
    select r.key, case when k.versions is not null then r.version - k.versions + 1 else r.version end as version
      from ripe r cross join lateral pgstate._keep_of(r.key) k
     where case when p_sweep.delay = interval '0' then k.versions is not null else k.age = p_sweep.delay end
  ), cut as materialized (
    select d.key, pgstate._cut_version(d.key, d.version, p_epoch, p_xmin, p_top) as version from due d where d.version > 1
  ), gone as (
    delete from pgstate.version v using cut c where v.key = c.key and v.version < c.version
    returning v.key, v.epoch, v.xid, c.version as stays
  ), touched as (
    select g.epoch, g.xid from gone g
    union all
    -- each by itself: a join of what is estimated as a few rows compares all of them with all
    select w.epoch, w.xid
      from (select distinct g.key, g.stays from gone g) k
      cross join lateral (select v.epoch, v.xid from pgstate.version v where v.key = k.key and v.version = k.stays offset 0) w
  )
  select g.removed, t.epoch, t.xid into v_top
    from (select count(*) as removed from gone) g
    left join lateral (select t.epoch, t.xid from touched t order by t.epoch desc, t.xid desc limit 1) t on true;

  perform pgstate._raise_horizon(v_top.epoch, v_top.xid);
  if v_seen > 0 then
    update pgstate.sweep s set epoch = v_last.epoch, xid = v_last.xid, seq = v_last.seq where s.delay = p_sweep.delay;
  end if;
  return row('ok', v_removed + v_top.removed, v_seen = p_limit)::pgstate.maintained;
end
$$;
comment on function pgstate._sweep(pgstate.sweep, int, xid8, xid8, xid8, int) is 'Internal: one step of retention along the feed.';
