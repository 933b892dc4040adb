-- One at a time, and whoever comes second goes away: a row lock, which no agent can take, unlike an advisory one. Everything
-- here is in one short transaction of the caller's; what is left is for the next call.
create function pgstate._maintain(p_actor_id int, p_limit int) returns pgstate.maintained
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_install pgstate.install;
  v_sweep pgstate.sweep;
  v_sweeps pgstate.sweep[];
  v_top xid8;
  v_xmin xid8;
  v_last xid8;
  v_step pgstate.maintained;
  v_all boolean := coalesce((select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor_id), false);
  v_done pgstate.maintained := row('ok', 0, false);
begin
  perform from pgstate.sweep s where s.delay = interval '0' for update skip locked;
  if not found then
    return row('busy', null, false)::pgstate.maintained;
  end if;
  -- as little as can be before the mark: this transaction is under way for it too
  if exists (select from pgstate.policy p where p.keep_versions is not null or p.keep_age is not null) then
    -- as in _enter_write(): transaction ids mean something only here
    perform pgstate._settle_identity();
    select i.* into v_install from pgstate.install i;
    v_xmin := pgstate._mark(v_install);
    if v_xmin is not null then
      v_top := (select v.xid from pgstate.version v where v.epoch = v_install.epoch order by v.xid desc limit 1);
      v_last := (select v.xid from pgstate.version v where v.epoch = v_install.epoch and v.xid < v_xmin order by v.xid desc limit 1);
      v_sweeps := array(
        select s from pgstate.sweep s
         where s.delay > interval '0' or exists (select from pgstate.policy p where p.keep_versions is not null) order by s.delay);
      foreach v_sweep in array v_sweeps loop
        -- many ages share what one may look at, and each gets on
        v_step := pgstate._sweep(v_sweep, v_install.epoch, v_xmin, v_top, v_last, greatest(p_limit / cardinality(v_sweeps), least(p_limit, 10)));
        v_done.removed := v_done.removed + v_step.removed;
        v_done.more := v_done.more or v_step.more;
      end loop;
      v_step := pgstate._review(v_install.epoch, v_xmin, v_top, v_last, p_limit);
      v_done.removed := v_done.removed + v_step.removed;
      v_done.more := v_done.more or v_step.more;
    end if;
  end if;
  v_done.more := pgstate._thin((select i.cursor_window from pgstate.install i), p_limit) or v_done.more;
  v_done.more := pgstate._tell_denied(p_limit) or v_done.more;
  v_done.more := pgstate._seal_audit(p_limit) or v_done.more;
  v_done.more := pgstate._thin_audit(p_limit) or v_done.more;
  v_done.more := pgstate._collect_threads(p_limit) or v_done.more;
  v_done.more := pgstate._collect_runs(p_limit) or v_done.more;
  -- indexing one key takes about as long as looking at ten versions
  v_done.more := pgstate._build_search(greatest(p_limit / 10, 1)) or v_done.more;
  if not v_all then
    -- how much there was is for those who may see all of it
    v_done.removed := null;
  elsif not exists (select from pgstate.search_build) then
    perform pgstate._follow_writes();
  end if;
  if v_all then
    -- grants that have ended; who asks for less must not keep the agents' rows locked
    perform pgstate._fold_grants(r.agent_id) from (select x.agent_id from pgstate.reach x where x.folded_until <= pgstate._now() and x.folded_until > '-infinity' order by 1) r;
    delete from pgstate.usage u where u.id in (
      select x.id from pgstate.usage x where not exists (select from pgstate.quota q where q.agent_id = x.agent_id) for update skip locked);
    -- of agents that come no more; the others' go as they come: see _lane_begin()
    delete from pgstate.lane l
     where l.lane in (select x.lane from pgstate.lane x where x.at < pgstate._now() - interval '1 day' limit p_limit for update skip locked);
    delete from pgstate.access_grant g where g.until < pgstate._now() - interval '1 day';
  end if;
  return v_done;
end
$$;
comment on function pgstate._maintain(int, int) is 'Internal: retention, what is left of threads and runs, and indexing for search.';
