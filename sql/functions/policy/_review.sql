-- One step through the keys of a subtree whose policy on history has changed: what was passed by along the feed may be due
-- now. The policy that holds for each key decides, which need not be the one that changed. p_limit bounds both the keys looked
-- at (a fifth of it) and the versions removed, so that one key with a long history takes several steps too.
create function pgstate._review(p_epoch int, p_xmin xid8, p_top xid8, p_last xid8, p_limit int) returns pgstate.maintained
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_review pgstate.review;
  v_low text;
  v_high text;
  v_keys int := greatest(p_limit / 5, 1);
  v_seen int := 0;
  v_entry record;
  v_keep pgstate._keep;
  v_cut bigint;
  v_least bigint;
  v_most bigint;
  v_top record;
  v_epoch int;
  v_xid xid8;
  v_purged pgstate._purged;
  v_waits boolean := false;
  v_done pgstate.maintained := row('ok', 0, true);
begin
  select r.* into v_review from (select x.* from pgstate.review x offset 0) r order by r.asked_at, r.subtree limit 1;
  if v_review.subtree is null then
    return row('ok', 0, false)::pgstate.maintained;
  end if;
  -- no key holds chr(1), and all of them sort before chr(127)
  v_low := greatest(v_review.after || chr(1), case when v_review.subtree like '%**' then left(v_review.subtree, -2) else v_review.subtree end collate "C");
  v_high := case when v_review.subtree = '**' then chr(127)
                 when v_review.subtree like '%/**' then left(v_review.subtree, -3) || '0'
                 else v_review.subtree || chr(1) end;
  for v_entry in
    select e.key, e.version, e.updated_at, e.value is null as dead from pgstate.entry e where e.key >= v_low and e.key < v_high order by e.key limit v_keys
  loop
    v_seen := v_seen + 1;
    v_keep := pgstate._keep_of(v_entry.key);
    -- no more is looked at than may be removed
    v_least := (select min(v.version) from pgstate.version v where v.key = v_entry.key);
    v_most := v_least + p_limit - v_done.removed;
    if v_entry.dead and (v_entry.version <= v_most or v_entry.version = 0)
       and (v_keep.versions = 1 or v_entry.version = 0 and v_keep.versions > 1 or v_entry.updated_at <= v_now - v_keep.age) then
      v_purged := pgstate._purge(v_entry.key, v_entry.version, p_epoch, p_last);
      v_waits := v_purged.removed is null;
      exit when v_waits;
      v_done.removed := v_done.removed + v_purged.removed;
      if v_purged.epoch > v_epoch or v_purged.epoch = v_epoch and v_purged.xid > v_xid or v_epoch is null then
        v_epoch := v_purged.epoch;
        v_xid := v_purged.xid;
      end if;
    end if;
    v_cut := case when v_keep.versions is not null then least(v_entry.version - v_keep.versions + 1, v_most)
                  when v_keep.age is not null then (
                    select max(w.version)
                      from (select v.version, v.at from pgstate.version v where v.key = v_entry.key and v.version <= v_most offset 0) w
                     where w.at <= v_now - v_keep.age) end;
    if v_cut > v_least then
      v_cut := pgstate._cut_version(v_entry.key, v_cut, p_epoch, p_xmin, p_top);
      if v_cut > v_least then
        with gone as (
          delete from pgstate.version v where v.key = v_entry.key and v.version < v_cut returning v.epoch, v.xid
        ), touched as (
          select g.epoch, g.xid from gone g
          union all
          select v.epoch, v.xid from pgstate.version v where v.key = v_entry.key and v.version = v_cut
        )
        select (select count(*) from gone) as removed, t.epoch, t.xid into v_top from touched t order by t.epoch desc, t.xid desc limit 1;
        v_done.removed := v_done.removed + v_top.removed;
        if v_top.epoch > v_epoch or v_top.epoch = v_epoch and v_top.xid > v_xid or v_epoch is null then
          v_epoch := v_top.epoch;
          v_xid := v_top.xid;
        end if;
        -- looked at once more: this key may not be done with
        exit when v_done.removed >= p_limit;
      end if;
    end if;
    v_review.after := v_entry.key;
  end loop;
  perform pgstate._raise_horizon(v_epoch, v_xid);
  if v_waits then
    v_done.more := false;
    update pgstate.review r set after = v_review.after where r.subtree = v_review.subtree;
  elsif v_seen < v_keys and v_done.removed < p_limit then
    delete from pgstate.review r where r.subtree = v_review.subtree;
    v_done.more := exists (select from pgstate.review);
  else
    update pgstate.review r set after = v_review.after where r.subtree = v_review.subtree;
  end if;
  return v_done;
end
$$;
comment on function pgstate._review(int, xid8, xid8, xid8, int) is 'Internal: one step of retention through keys whose policy has changed.';
