-- How much of a key's history may go when p_version is the oldest that a policy keeps: returns the oldest version that must
-- stay. The one place that knows what a version stands on. All of what goes, and the first that stays, must have been seen
-- by every live cursor: then none of them asks for a value before a change that is gone, and a past state that one of them
-- names is still there. What stays back for that goes with the next change of the key.
create function pgstate._cut_version(p_key text, p_version bigint, p_epoch int, p_xmin xid8, p_top xid8) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_cut bigint;
  v_newest bigint;
  v_stays boolean;
begin
  -- also of a thread or run: what they stand on is in tables of their own
  select e.version, least(e.version, p_version) into v_newest, v_cut from pgstate.entry e where e.key = p_key;
  if v_cut > 1 then
    -- OFFSET 0: by the key, of which few versions go at a time, and not by the transaction, which may have written many
    -- others. The first: a transaction may have begun after another and written before it.
    v_cut := least(v_cut, (
      select min(w.version) - 1
        from (select v.version, v.epoch, v.xid from pgstate.version v where v.key = p_key and v.version <= v_cut offset 0) w
       where w.epoch = p_epoch and w.xid >= p_xmin));
    -- a row of the highest id of all stays, for it says how far new cursors reach
    v_stays := exists (select from (select v.epoch, v.xid from pgstate.version v
                                     where v.key = p_key and v.version = any (array[v_cut, v_newest]) offset 0) w
                        where w.epoch = p_epoch and w.xid >= p_top);
    if not v_stays then
      v_cut := least(v_cut, (
        select min(w.version)
          from (select v.version, v.epoch, v.xid from pgstate.version v where v.key = p_key and v.version < v_cut offset 0) w
         where w.epoch = p_epoch and w.xid >= p_top));
    end if;
  end if;
  if v_cut > 1 then
    -- operands stand on the full value before them
    v_cut := (select v.version from pgstate.version v
               where v.key = p_key and v.version <= v_cut and v.reducer is null order by v.version desc limit 1);
  end if;
  return coalesce(v_cut, 0);
end
$$;
comment on function pgstate._cut_version(text, bigint, int, xid8, xid8) is 'Internal: the oldest version of a key that must stay.';
