-- End of every change of a thread or run: its entry says what it is now, in a new version, which it returns. A time to live begins
-- anew with each change: the one given, else its own, else the policy's.
create function pgstate._thread_write(p_actor pgstate._actor, p_key text, p_head pgstate._thread_head, p_value jsonb, p_ttl interval, p_kind pgstate.entry_kind default 'thread')
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_value jsonb := p_value;
  v_ttl interval := p_ttl;
  v_trust pgstate.trust := p_actor.trust;
  v_rules pgstate._policy;
begin
  if v_ttl is not null then
    if not pgstate._span_or_0(v_ttl) then
      perform pgstate._raise('PS007', p_key);
    end if;
    -- 0 too, or the next change would go by the policy
    v_value := v_value || jsonb_build_object('ttl', extract(epoch from v_ttl));
  elsif p_head.value ? 'ttl' then
    v_ttl := make_interval(secs => (p_head.value ->> 'ttl')::float8);
    v_value := v_value || jsonb_build_object('ttl', p_head.value -> 'ttl');
  end if;
  if p_actor.policies then
    v_rules := pgstate._policy_of(p_key);
    v_trust := least(v_trust, v_rules.trust);
    v_ttl := coalesce(v_ttl, v_rules.ttl);
  end if;
  with changed as (
    update pgstate.entry e
       set kind = p_kind, version = p_head.version + 1, live = true, value = v_value, writer = p_actor.name, via = session_user,
           created_at = case when p_head.live then e.created_at else p_head.at end, updated_at = p_head.at,
           expires_at = p_head.at + nullif(v_ttl, interval '0'), priority = case when p_head.live then e.priority else 0 end,
           not_before = case when p_head.live then e.not_before end, full_version = null, trust = v_trust
     where e.key = p_key
    returning e.version, e.expires_at
  )
  insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, trust)
  select p_key, c.version, p_actor.epoch, 'put', not p_head.live, v_value, p_actor.name, session_user, p_head.at, c.expires_at, v_trust from changed c;
  if not found then
    -- the right was taken while the lock was waited for, and what goes with the entry must not be changed without it
    perform pgstate._deny();
  end if;
  return p_head.version + 1;
end
$$;
comment on function pgstate._thread_write(pgstate._actor, text, pgstate._thread_head, jsonb, interval, pgstate.entry_kind) is 'Internal: writes the entry of a thread or run.';
