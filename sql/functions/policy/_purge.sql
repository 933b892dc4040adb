-- Removes a tombstone with its history. What the caller has looked at: a policy keeps neither, and p_version is all that is
-- left or goes with it. The one who reads on must have seen it go and something after it, p_last being the last transaction
-- that all live cursors have seen: so nothing that a cursor goes by disappears. removed is 0 when there is nothing to purge
-- (any more, or yet: then the sweep comes to it later), null when it must wait.
--
-- Nobody waits for this, and this waits for nobody: who has the entry locked goes on with it. The floor is raised first,
-- for who creates the key again as soon as the row is gone: see _insert_entries().
create function pgstate._purge(p_key text, p_version bigint, p_epoch int, p_last xid8) returns pgstate._purged
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_own record;
  v_last record;
  v_purged pgstate._purged;
begin
  perform from pgstate.entry e where e.key = p_key and e.version = p_version and e.value is null for update skip locked;
  if not found then
    if not exists (select from pgstate.entry e where e.key = p_key and e.version = p_version and e.value is null) then
      v_purged.removed := 0;
    end if;
    return v_purged;
  end if;
  select v.epoch, v.xid into v_own from pgstate.version v where v.key = p_key and v.version = p_version;
  -- OFFSET 0: by the key. An older version may have a higher transaction id.
  select w.epoch, w.xid into v_last
    from (select v.epoch, v.xid from pgstate.version v where v.key = p_key offset 0) w order by w.epoch desc, w.xid desc limit 1;
  if v_last.epoch = p_epoch and (v_last.xid < p_last) is not true then
    if v_own.epoch = p_epoch and (v_own.xid <= p_last) is not true then
      v_purged.removed := 0;
    end if;
    return v_purged;
  end if;
  if p_version > coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) then
    perform setval('pgstate.version_floor', p_version);
  end if;
  delete from pgstate.version v where v.key = p_key;
  get diagnostics v_purged.removed = row_count;
  delete from pgstate.claim c where c.key = p_key;
  delete from pgstate.entry e where e.key = p_key;
  v_purged.epoch := v_last.epoch;
  v_purged.xid := v_last.xid;
  if v_last.epoch = p_epoch then
    -- the time of a cursor is that of the last change it has seen, which must not be this one
    v_purged.xid := (select v.xid from pgstate.version v where v.epoch = p_epoch and v.xid > v_last.xid order by v.xid limit 1);
  end if;
  return v_purged;
end
$$;
comment on function pgstate._purge(text, bigint, int, xid8) is 'Internal: removes a tombstone and its history.';
