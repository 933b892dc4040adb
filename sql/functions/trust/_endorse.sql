-- As the owner: who administers a key may vouch for what it holds without writing there. What the policies let writers be
-- trusted does not bind this, which is how something that came from outside becomes trusted at all.
create function pgstate._endorse(p_actor pgstate._actor, p_key text, p_version bigint, p_trust text) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_trust pgstate.trust;
  v_entry record;
  v_now timestamptz;
  v_value jsonb;
  v_meta jsonb;
  v_out pgstate.written;
begin
  perform pgstate._check_admin(p_actor, p_key);
  v_trust := pgstate._trust_named(p_trust);
  if v_trust is null or p_version is null then
    raise exception using errcode = 'PS007', message = 'endorsing takes a version and a trust';
  elsif v_trust > p_actor.trust then
    raise exception using errcode = 'PS007', message = format('%s may not endorse as %s: it is trusted as %s itself', p_actor.name, p_trust, p_actor.trust);
  end if;
  select e.version, e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) as live, e.kind, e.trust into v_entry
    from pgstate.entry e where e.key = p_key for no key update;
  -- the time after the wait for the lock
  v_now := pgstate._now();
  v_out.version := case when p_actor.readable then coalesce(case when v_entry.live then v_entry.version end, 0) end;
  if v_entry.live is not true then
    v_out.status := 'missing';
    return v_out;
  elsif v_entry.kind <> 'value' then
    perform pgstate._raise('PS040', p_key);
  elsif v_entry.version <> p_version then
    v_out.status := 'conflict';
    return v_out;
  elsif v_trust <= v_entry.trust then
    raise exception using errcode = 'PS007', message = format('it is trusted as %s already', v_entry.trust);
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_claims_seen(array[p_key]);
  end if;
  if exists (select from pgstate.claim c where c.key = p_key and c.lease_until > v_now) then
    v_out.status := 'held';
    return v_out;
  end if;
  -- not by _current_value(), which reads with the caller's rights
  select pgstate._fold(e.value, t.reducers, t.operands) into v_value
    from pgstate.entry e
    cross join lateral (
      select array_agg(v.reducer order by v.version) as reducers, array_agg(v.value order by v.version) as operands
        from pgstate.version v where v.key = p_key and v.version > e.full_version and v.version <= e.version) t
   where e.key = p_key;
  select jsonb_strip_nulls(jsonb_build_object('sources', v.meta -> 'sources', 'endorsed_by', p_actor.name, 'endorsed', v.version,
                                              'from', v.trust, 'writer', v.writer)) into v_meta
    from pgstate.version v where v.key = p_key and v.version = p_version;
  with changed as (
    update pgstate.entry e
       set version = e.version + 1, value = v_value, writer = p_actor.name, via = session_user, updated_at = v_now, full_version = null, trust = v_trust
     where e.key = p_key
    returning e.version, e.expires_at
  )
  insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, meta, trust)
  select p_key, c.version, p_actor.epoch, 'put', v_value, p_actor.name, session_user, v_now, c.expires_at, v_meta, v_trust from changed c
  returning version into v_entry.version;
  perform pgstate._audit(p_actor, 'endorse', p_key, jsonb_build_object('version', p_version, 'trust', p_trust, 'from', v_entry.trust));
  v_out.status := 'ok';
  v_out.version := case when p_actor.readable then v_entry.version end;
  return v_out;
end
$$;
comment on function pgstate._endorse(pgstate._actor, text, bigint, text) is 'Internal: raises the trust of what a key holds.';
