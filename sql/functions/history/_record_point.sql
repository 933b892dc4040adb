-- Called by every connected client each second, and by migrations. Taken together: the snapshot first and the time after
-- it, so that nothing in it is younger than its time. Two that are recorded at once may still stand in the wrong order,
-- which _point_at() puts right; so nobody has to wait for anybody.
create function pgstate._record_point() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_last pgstate.feed_point;
  v_epoch int;
  v_identity text;
  v_seen pg_snapshot;
  v_now timestamptz := pgstate._now();
begin
  select i.epoch, i.identity into v_epoch, v_identity from pgstate.install i;
  if v_identity <> current_setting('pgstate.identity', true) is not false then
    -- looked at once per session, as in _enter_write()
    if v_identity <> pgstate._identity() or pgstate._restored() then
      -- restored and not written to since: transaction ids mean nothing here yet
      return;
    end if;
    if not pgstate._promoted() then
      perform set_config('pgstate.identity', v_identity, false);
    end if;
  end if;
  select p.* into v_last from pgstate.feed_point p order by p.at desc limit 1;
  if exists (
       select from (select p.at from pgstate.feed_point p order by p.at desc offset 9 limit 1) tenth
        where tenth.at between v_now - interval '1 s' and v_now)
  then
    -- many clients are connected: another pulse comes soon
    return;
  end if;
  v_seen := pgstate._snapshot(v_epoch);
  if v_last.epoch = v_epoch and v_last.seen::text = v_seen::text then
    return;
  end if;
  -- not before the last one, should the clock have been set back
  insert into pgstate.feed_point (at, epoch, seen)
  values (greatest(pgstate._now(), v_last.at + interval '1 us'), v_epoch, v_seen)
      on conflict do nothing;
end
$$;
comment on function pgstate._record_point() is 'Internal: records what the feed is at now, if anything was written since the last time.';
