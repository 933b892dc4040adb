-- Inserts missing entries in key order; false when the decision about them must be made anew: another transaction created
-- one of them meanwhile, or they may have been purged since the floor was looked at, which their numbers start above. Once
-- a row is inserted its key cannot be purged, and purges raise the floor before anything else: so it is looked at again
-- after that. A sequence, because its value is seen whatever the snapshot.
create function pgstate._insert_entries(p_entries pgstate.entry[], p_floor bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_count bigint;
begin
  insert into pgstate.entry (key, parent, kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before,
                             full_version, tail_count, tail_bytes, full_bytes, full_type, trust)
  select n.key, left(n.key, -strpos(reverse(n.key), '/')), n.kind, n.version, n.live, n.value, n.writer, n.via, n.created_at, n.updated_at, n.expires_at, n.priority, n.not_before,
         n.full_version, n.tail_count, n.tail_bytes, n.full_bytes, n.full_type, n.trust
    from unnest(p_entries) n
      on conflict on constraint entry_pkey do nothing;
  get diagnostics v_count = row_count;
  if v_count < cardinality(p_entries) then
    return false;
  elsif coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) > p_floor then
    -- the keys are ours from here on, as if guarded as absent
    update pgstate.entry e set version = 0, live = false, value = null, full_version = null
     where e.key in (select n.key from unnest(p_entries) n);
    return false;
  end if;
  return true;
end
$$;
comment on function pgstate._insert_entries(pgstate.entry[], bigint) is 'Internal: inserts entries that were missing; false when all must be decided anew.';
