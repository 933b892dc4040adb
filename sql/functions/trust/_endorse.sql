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
  -- the right may be gone when the lock has been waited for, or the agent from who named it
  perform pgstate._check_admin(p_actor, p_key);
  if pgstate._acting() is distinct from p_actor.id then
    perform pgstate._deny();
  end if;
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
  select jsonb_strip_nulls(jsonb_build_object('sources', v.meta -> 'sources', 'endorsed_by', p_actor.name, 'endorsed', v.version,
                                              'from', v.trust, 'writer', v.writer)) into v_meta
    from pgstate.version v where v.key = p_key and v.version = p_version;
  v_out.version := pgstate._write_trust(p_actor, p_key, v_trust, v_meta, v_now);
  perform pgstate._audit(p_actor, 'endorse', p_key, jsonb_build_object('version', p_version, 'trust', p_trust, 'from', v_entry.trust));
  v_out.status := 'ok';
  if not p_actor.readable then
    v_out.version := null;
  end if;
  return v_out;
end
$$;
comment on function pgstate._endorse(pgstate._actor, text, bigint, text) is 'Internal: raises the trust of what a key holds.';
