-- Start of every change of a thread or run: may the caller, and is there one? Locks its entry, before all else that
-- belongs to it. A status says that it may not be changed: missing, held or stale. p_create: one that is absent is locked by
-- a tombstone, and comes back with live false. p_claims false: who holds it is for the caller to look at.
create function pgstate._thread_lock(p_actor pgstate._actor, p_key text, p_token bigint, p_create boolean, p_kind pgstate.entry_kind default 'thread', p_claims boolean default true)
returns pgstate._thread_head
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_entry record;
  v_head pgstate._thread_head;
  v_claim record;
  v_trust pgstate.trust;
  v_rule text;
begin
  for v_try in 1 .. 3 loop
    if (p_actor.readable and p_actor.writable) is true then
      select e.version, e.value, e.kind, e.expires_at into v_entry from pgstate.entry e where e.key = p_key for no key update;
      exit when v_entry.version is not null;
    end if;
    -- one that is there is in order
    if p_key is null or not pgstate._key_ok(p_key) then
      perform pgstate._bad_key(p_key);
    elsif (p_actor.readable and p_actor.writable) is not true then
      perform pgstate._deny();
    end if;
    exit when not p_create;
    v_rule := pgstate._secret_in(p_actor, p_key, p_key);
    if v_rule is not null then
      perform pgstate._raise('PS009', p_key, pgstate._error_text('PS009', p_key) || ': ' || v_rule);
    end if;
    insert into pgstate.entry (key, parent, version, live, writer, via, created_at, updated_at)
    values (p_key, left(p_key, -strpos(reverse(p_key), '/')), 0, false, p_actor.name, session_user, pgstate._now(), pgstate._now())
        on conflict on constraint entry_pkey do nothing;
  end loop;
  v_head.at := pgstate._now();
  v_head.version := v_entry.version;
  v_head.live := v_entry.value is not null;
  if v_head.live and v_entry.expires_at <= v_head.at then
    -- what stood here has expired: history says so first
    update pgstate.entry e
       set version = e.version + 1, live = false, value = null, writer = 'pgstate', via = session_user, updated_at = v_head.at,
           expires_at = null, full_version = null
     where e.key = p_key returning e.version, e.trust into v_head.version, v_trust;
    insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
    values (p_key, v_head.version, p_actor.epoch, 'expire', 'pgstate', session_user, v_head.at, v_trust);
    delete from pgstate.claim c where c.key = p_key;
    perform pgstate._detach_threads(array[p_key]);
    v_head.live := false;
  end if;
  if not v_head.live then
    if not p_create then
      v_head.status := 'missing';
    elsif v_head.version = 0 then
      -- see _insert_entries()
      v_head.version := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
    end if;
    if p_token is not null then
      v_head.status := 'stale';
    end if;
    return v_head;
  elsif v_entry.kind <> p_kind then
    perform pgstate._raise('PS040', p_key);
  end if;
  v_head.value := v_entry.value;
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_claims_seen(array[p_key]);
  end if;
  if not p_claims then
    return v_head;
  end if;
  -- in a statement of its own: see _put_existing()
  select c.token, c.holder_id into v_claim from pgstate.claim c where c.key = p_key and c.lease_until > v_head.at;
  if p_token is not null then
    if (v_claim.token = p_token and v_claim.holder_id = p_actor.id) is not true then
      v_head.status := 'stale';
    end if;
  elsif v_claim.token is not null and not (p_actor.policies and pgstate._claimed_writes(p_key)) then
    v_head.status := 'held';
  end if;
  return v_head;
end
$$;
comment on function pgstate._thread_lock(pgstate._actor, text, bigint, boolean, pgstate.entry_kind, boolean) is 'Internal: locks the entry of a thread or run for a change.';
