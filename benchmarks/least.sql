-- What no writer can leave out that keeps pgstate's promises, for values without options on keys that exist, and for checkpoints without
-- chunks that come after a thread's last one: who writes and whether they may, a statement that is sent again, secrets, claims, what
-- happened, and row-level security under all of it. No policies, quotas, times to live, new keys or conflicts: for measuring what
-- those and the client come on top of.
create schema least;

create function least.entered(p_lane uuid, p_turn bigint, p_key text) returns pgstate._actor
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
begin
  select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end, case when p_key is null then l.writes end,
         i.identity, l.reads @> p_key, l.writes @> p_key, n.agent_id = l.agent_id and p_turn > n.turn, null, i.policies, null, l.quota, l.trust
    into v_actor
    from pgstate.login l cross join pgstate.install i
    left join lateral (select x.agent_id, x.turn from pgstate.lane x where x.lane = p_lane for update) n on true
   where l.login = session_user and l.agent_id is not null and not (l.gateway or l.root) and l.folded_until is null;
  if (v_actor.lane_ready and not v_actor.policies and not v_actor.quota) is not true then
    raise 'not what is measured';
  end if;
  return v_actor;
end
$$;

-- and whether anybody watches
create function least.ended(p_lane uuid, p_turn bigint, p_outcome jsonb, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.lane l set turn = p_turn, outcome = p_outcome, at = p_now, channels = null where l.lane = p_lane;
  return exists (select from pgstate.watcher);
end
$$;

create function least.put(p_key text, p_value jsonb, p_lane uuid, p_turn bigint) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := least.entered(p_lane, p_turn, p_key);
  v_version bigint;
  v_now timestamptz;
  v_done text := set_config('lock_timeout', '200ms', true) || set_config('pgstate.wake', 'off', true);
begin
  if not v_actor.writable or concat(p_key, ' ', p_value) ~ pgstate._secret_shape() then
    raise 'not what is measured';
  end if;
  select e.version into v_version from pgstate.entry e where e.key = p_key and e.value is not null and e.kind = 'value' for no key update;
  v_now := pgstate._now();
  with changed as (
    update pgstate.entry e
       set version = e.version + 1, value = p_value, writer = v_actor.name, via = session_user, updated_at = v_now, trust = v_actor.trust,
           expires_at = null, full_version = null
     where e.key = p_key and (e.expires_at is null or e.expires_at > v_now)
       and not exists (select from pgstate.claim c where c.key = p_key and c.lease_until > v_now)
    returning e.version, e.via
  )
  insert into pgstate.version (key, version, epoch, op, value, writer, via, at, trust)
  select p_key, c.version, v_actor.epoch, 'put', p_value, v_actor.name, c.via, v_now, v_actor.trust from changed c;
  if not found or least.ended(p_lane, p_turn, jsonb_build_array(v_version + 1), v_now) then
    raise 'not what is measured';
  end if;
  return v_version + 1;
end
$$;

create function least.put_many(p_keys text[], p_values jsonb[], p_lane uuid, p_turn bigint) returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := least.entered(p_lane, p_turn, null);
  v_reads pgstate.keymultirange := v_actor.reads + '{}';
  v_writes pgstate.keymultirange := v_actor.writes + '{}';
  v_now timestamptz := pgstate._now();
  v_versions bigint[];
  v_done text := set_config('lock_timeout', '200ms', true) || set_config('pgstate.wake', 'off', true);
begin
  if concat(array_to_string(p_keys, ' '), ' ', array_to_string(p_values, ' ')) ~ pgstate._secret_shape() then
    raise 'not what is measured';
  end if;
  with input as materialized (
    select u.* from unnest(p_keys, p_values) with ordinality as u (key, value, ord) where v_writes @> u.key order by u.key collate "C"
  ), updated as (
    update pgstate.entry e
       set version = e.version + 1, value = i.value, writer = v_actor.name, via = session_user, updated_at = v_now, trust = v_actor.trust,
           expires_at = null, full_version = null
      from input i where e.key = i.key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > v_now)
    returning i.ord, e.key, e.version, i.value, e.via
  ), recorded as (
    insert into pgstate.version (key, version, epoch, op, value, writer, via, at, trust)
    select u.key, u.version, v_actor.epoch, 'put', u.value, v_actor.name, u.via, v_now, v_actor.trust from updated u
  )
  select array_agg(case when v_reads @> u.key then u.version end order by u.ord) into v_versions from updated u;
  if cardinality(v_versions) <> cardinality(p_keys)
     or exists (select from pgstate.claim c where c.key = any (p_keys) and c.lease_until > pgstate._now())
     or least.ended(p_lane, p_turn, to_jsonb(v_versions), v_now) then
    raise 'not what is measured';
  end if;
  return v_versions;
end
$$;

-- as the owner, whose alone the tables of threads are
create function least.stored(
  p_key text, p_id text, p_names text[], p_versions text[], p_types text[], p_data bytea[], p_metadata jsonb, p_writer text, p_now timestamptz
) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  insert into pgstate.checkpoint (thread_id, ns, id, parent, names, versions, types, data, whole, metadata, size, created_at, writer, via)
  select t.id, '', p_id, (select c.id from pgstate.checkpoint c where c.thread_id = t.id and c.ns = '' order by c.id desc limit 1),
         p_names, p_versions, p_types, p_data, true, p_metadata, octet_length(array_send(p_data)), p_now, p_writer, session_user
    from pgstate.thread t where t.key = p_key;
  if not found then
    raise 'not what is measured';
  end if;
end
$$;

create function least.save(
  p_key text, p_id text, p_names text[], p_versions text[], p_types text[], p_data bytea[], p_metadata jsonb, p_lane uuid, p_turn bigint
) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := least.entered(p_lane, p_turn, p_key);
  v_version bigint;
  v_now timestamptz;
  v_done text := set_config('lock_timeout', '200ms', true) || set_config('pgstate.wake', 'off', true);
begin
  if not v_actor.writable or pgstate._suspect_parts(p_names, p_types, p_data, p_metadata, concat(p_id, array_to_string(p_versions, ' '))) then
    raise 'not what is measured';
  end if;
  select e.version into v_version from pgstate.entry e where e.key = p_key and e.value is not null and e.kind = 'thread' for no key update;
  v_now := pgstate._now();
  v_done := least.stored(p_key, p_id, p_names, p_versions, p_types, p_data, p_metadata, v_actor.name, v_now);
  with changed as (
    update pgstate.entry e
       set version = e.version + 1, writer = v_actor.name, via = session_user, updated_at = v_now, trust = v_actor.trust, full_version = null,
           value = jsonb_build_object('checkpoint', p_id, 'ns', '', 'checkpoints', (e.value -> 'checkpoints')::bigint + 1)
     where e.key = p_key and (e.expires_at is null or e.expires_at > v_now)
       and not exists (select from pgstate.claim c where c.key = p_key and c.lease_until > v_now)
    returning e.version, e.value, e.via
  )
  insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, trust)
  select p_key, c.version, v_actor.epoch, 'put', false, c.value, v_actor.name, c.via, v_now, v_actor.trust from changed c;
  if not found or least.ended(p_lane, p_turn, jsonb_build_array(v_version + 1), v_now) then
    raise 'not what is measured';
  end if;
  return v_version + 1;
end
$$;

alter function least.entered(uuid, bigint, text) owner to pgstate_owner;
alter function least.ended(uuid, bigint, jsonb, timestamptz) owner to pgstate_owner;
alter function least.put(text, jsonb, uuid, bigint) owner to pgstate_api;
alter function least.put_many(text[], jsonb[], uuid, bigint) owner to pgstate_api;
alter function least.stored(text, text, text[], text[], text[], bytea[], jsonb, text, timestamptz) owner to pgstate_owner;
alter function least.save(text, text, text[], text[], text[], bytea[], jsonb, uuid, bigint) owner to pgstate_api;
grant usage on schema least to public;
