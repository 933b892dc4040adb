-- The newest point at or before a time: the most advanced of the last few, since two that were recorded at once may stand
-- in the wrong order. Of two snapshots the later one has the higher xmax, or the same and less that still ran.
create function pgstate._point_at(p_at timestamptz) returns pgstate._moment
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_moment pgstate._moment;
begin
  if p_at > pgstate._now() then
    raise exception using errcode = 'PS007', message = 'as of a time in the future', hint = 'What will be is not known: leave the time out for the present.';
  end if;
  select p.epoch, p.seen into v_moment.epoch, v_moment.base
    from (select l.* from pgstate.feed_point l where l.at <= p_at order by l.at desc limit 5) p
   order by p.epoch desc, pg_snapshot_xmax(p.seen) desc,
            case when pg_snapshot_xmin(p.seen) = pg_snapshot_xmax(p.seen) then 0 else (select count(*) from pg_snapshot_xip(p.seen)) end
   limit 1;
  if not found and not exists (select from pgstate.install i where i.horizon is not null and i.installed_at <= p_at) then
    raise exception using errcode = 'PS023', message = format('nothing was recorded at or before %s', p_at),
      hint = format('The first moment known here is %s.', (select min(p.at) from pgstate.feed_point p));
  elsif v_moment.base is null or not pgstate._kept(v_moment.base, v_moment.epoch) then
    -- points go with their history
    raise exception using errcode = 'PS021', message = format('the history of %s is no longer kept', p_at), hint = 'Policies say how much is kept.';
  end if;
  v_moment.at := p_at;
  return v_moment;
end
$$;
comment on function pgstate._point_at(timestamptz) is 'Internal: the past state that a time stands for. PS007 in the future, PS021 when its history has gone, PS023 before anything was recorded.';
