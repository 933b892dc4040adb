-- The transaction id below which everything had ended a cursor_window ago, so that every cursor taken since has seen it; null
-- when that is not known yet. Marks are some sixty to a window.
create function pgstate._mark(p_install pgstate.install) returns xid8
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_mark pgstate.mark;
begin
  delete from pgstate.mark m where m.epoch <> p_install.epoch;
  -- the time is told after the statement's snapshot, whose xmin is then older than the mark says
  insert into pgstate.mark (at, epoch, ended_below)
  select pgstate._now(), p_install.epoch, pg_snapshot_xmin(pg_current_snapshot())
   where not exists (select from pgstate.mark m where m.at > pgstate._now() - p_install.cursor_window / 60)
      on conflict do nothing;
  select m.* into v_mark from pgstate.mark m where m.at <= pgstate._now() - p_install.cursor_window order by m.at desc limit 1;
  delete from pgstate.mark m where m.at < v_mark.at;
  return v_mark.ended_below;
end
$$;
comment on function pgstate._mark(pgstate.install) is 'Internal: which transactions every cursor of the last window has seen.';
