-- A version with the value that is there and another trust, of an entry that the caller has locked, and what else it notes.
create function pgstate._write_trust(p_actor pgstate._actor, p_key text, p_trust pgstate.trust, p_meta jsonb, p_now timestamptz) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_value jsonb;
  v_version bigint;
begin
  -- not by _current_value(), which reads with the caller's rights
  select pgstate._fold(e.value, t.reducers, t.operands) into v_value
    from pgstate.entry e
    cross join lateral (
      select array_agg(v.reducer order by v.version) as reducers, array_agg(v.value order by v.version) as operands
        from pgstate.version v where v.key = p_key and v.version > e.full_version and v.version <= e.version) t
   where e.key = p_key;
  with changed as (
    update pgstate.entry e
       set version = e.version + 1, value = v_value, writer = p_actor.name, via = session_user, updated_at = p_now, full_version = null, trust = p_trust
     where e.key = p_key
    returning e.version, e.expires_at
  )
  insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, meta, trust)
  select p_key, c.version, p_actor.epoch, 'put', v_value, p_actor.name, session_user, p_now, c.expires_at, p_meta, p_trust from changed c
  returning version.version into v_version;
  return v_version;
end
$$;
comment on function pgstate._write_trust(pgstate._actor, text, pgstate.trust, jsonb, timestamptz) is 'Internal: a version with the same value and another trust.';
