-- Checkpoints of any number of threads in one statement: what clients gather into. Each is decided by itself, in the order
-- of the input, as save_checkpoint() would; what they have in common (entering, locks, claims, entries, versions, the lane)
-- is done once for all.
--
-- Order of locks: the entries that exist in key order, then missing ones in key order by making them, then threads.
create function pgstate.save_checkpoints(
  keys text[], counts int[], names text[], types text[], data bytea[], versions text[] default null, chunk_counts int[] default null,
  chunk_types text[] default null, chunk_data bytea[] default null, metadatas jsonb[] default null, ids text[] default null,
  parents text[] default null, namespaces text[] default null, headers bytea[] default null, wholes boolean[] default null,
  expect_heads text[] default null, guard_counts int[] default null, guards text[] default null, ttls interval[] default null,
  run_ids text[] default null, tokens bigint[] default null, may_begins boolean[] default null, lane uuid default null,
  turn bigint default null, wake boolean default true, lock_timeout text default null, agent text default null
) returns setof pgstate.save_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(save_checkpoints.agent, save_checkpoints.lane, save_checkpoints.turn);
  v_count int := coalesce(cardinality(save_checkpoints.keys), 0);
  v_codes text[];
  v_keys text[];
  v_heads pgstate._thread_head[];
  v_plain boolean;
  v_suspect boolean;
  v_guarded record;
  v_now timestamptz;
  v_head pgstate._thread_head;
  v_stored pgstate._stored;
  v_row record;
  v_at int;
  v_ttl interval;
  v_status text;
  v_value jsonb;
  v_out pgstate.save_outcome[] := '{}';
  v_written text[] := '{}';
  v_numbers bigint[] := '{}';
  v_values jsonb[] := '{}';
  v_created boolean[] := '{}';
  v_expiries timestamptz[] := '{}';
  v_watched boolean;
  v_wake text := coalesce(current_setting('pgstate.wake', true), '');
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_count <> any (array[
       coalesce(cardinality(save_checkpoints.counts), 0), coalesce(cardinality(save_checkpoints.chunk_counts), v_count),
       coalesce(cardinality(save_checkpoints.metadatas), v_count), coalesce(cardinality(save_checkpoints.ids), v_count),
       coalesce(cardinality(save_checkpoints.parents), v_count), coalesce(cardinality(save_checkpoints.namespaces), v_count),
       coalesce(cardinality(save_checkpoints.headers), v_count), coalesce(cardinality(save_checkpoints.wholes), v_count),
       coalesce(cardinality(save_checkpoints.expect_heads), v_count), coalesce(cardinality(save_checkpoints.guard_counts), v_count),
       coalesce(cardinality(save_checkpoints.ttls), v_count), coalesce(cardinality(save_checkpoints.run_ids), v_count),
       coalesce(cardinality(save_checkpoints.tokens), v_count), coalesce(cardinality(save_checkpoints.may_begins), v_count)])
     or array_ndims(save_checkpoints.keys) <> 1 or array_lower(save_checkpoints.keys, 1) <> 1
     or array_position(save_checkpoints.counts, null) is not null or 0 > any (save_checkpoints.counts)
     or array_position(save_checkpoints.chunk_counts, null) is not null or 0 > any (save_checkpoints.chunk_counts)
     or 0 > any (save_checkpoints.guard_counts)
     or (select coalesce(sum(c), 0) from unnest(save_checkpoints.counts) c) <> any (array[
          coalesce(cardinality(save_checkpoints.names), 0), coalesce(cardinality(save_checkpoints.types), 0),
          coalesce(cardinality(save_checkpoints.data), 0),
          coalesce(cardinality(save_checkpoints.versions), cardinality(save_checkpoints.names), 0)])
     or (select coalesce(sum(c), 0) from unnest(save_checkpoints.chunk_counts) c) <> any (array[
          coalesce(cardinality(save_checkpoints.chunk_types), 0), coalesce(cardinality(save_checkpoints.chunk_data), 0)])
     or (select coalesce(sum(c), 0) from unnest(save_checkpoints.guard_counts) c) <> coalesce(cardinality(save_checkpoints.guards), 0) then
    raise exception using errcode = 'PS007',
      message = 'the arrays must be of equal length, have one dimension and begin at 1; counts, chunk_counts and guard_counts say how many of the others belong to each';
  elsif v_count = 0 then
    return;
  elsif v_actor.kept is not null then
    return query
      select o.ord::int, o.item ->> 0, o.item ->> 1, (o.item ->> 2)::bigint, o.item ->> 3,
             case when jsonb_typeof(o.item -> 4) = 'array' then array(select h::bytea from jsonb_array_elements_text(o.item -> 4) h) end,
             o.item ->> 5, pgstate._save_error(o.item ->> 5, save_checkpoints.keys[o.ord]), true
        from jsonb_array_elements(v_actor.kept) with ordinality as o (item, ord) order by o.ord;
    return;
  end if;
  if save_checkpoints.lock_timeout is not null then
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', save_checkpoints.lock_timeout, true);
  end if;
  v_codes := array(
    select case when i.key is null or not pgstate._key_ok(i.key) then 'PS001'
                when not ((select v_actor.reads + '{}') @> i.key and (select v_actor.writes + '{}') @> i.key) then 'PS010'
                when octet_length(i.ns) > 1900 or octet_length(i.id) not between 1 and 256 or octet_length(i.parent) > 256 or octet_length(i.run_id) > 1900
                     or i.ttl is not null and not pgstate._span_or_0(i.ttl) then 'PS007' end
      from unnest(save_checkpoints.keys, save_checkpoints.ids, save_checkpoints.parents, save_checkpoints.namespaces, save_checkpoints.ttls,
                  save_checkpoints.run_ids) with ordinality as i (key, id, parent, ns, ttl, run_id, ord)
     order by i.ord);
  v_suspect := pgstate._suspect_parts(save_checkpoints.names, save_checkpoints.types || save_checkpoints.chunk_types,
                                      save_checkpoints.data || save_checkpoints.chunk_data)
    or (' ' || concat_ws(' ', array_to_string(save_checkpoints.metadatas, ' '), array_to_string(save_checkpoints.ids, ' '),
          array_to_string(save_checkpoints.namespaces, ' '), array_to_string(save_checkpoints.run_ids, ' '),
          array_to_string(save_checkpoints.versions, ' '))) ~ pgstate._secret_hint();
  -- below it is asked no more, and long ranges would be copied from function to function
  v_actor.reads := null;
  v_actor.writes := null;
  v_actor.readable := true;
  v_actor.writable := true;

  -- of an entry that is there: what it is in place of a status, and when it expires in place of the time
  select array_agg(i.key order by i.key),
         array_agg(row(case when e.kind <> 'thread' then 'PS040' end, e.version, e.value, e.value is not null, e.expires_at)::pgstate._thread_head order by i.key),
         bool_and(e.value is not null and e.kind = 'thread' and e.expires_at is null)
    into v_keys, v_heads, v_plain
    from (select distinct u.key collate "C" as key from unnest(save_checkpoints.keys, v_codes) u (key, code) where u.code is null order by 1) i
    left join lateral (
      select x.version, x.value, x.kind, x.expires_at from pgstate.entry x where x.key = i.key for no key update) e on true;
  v_now := pgstate._now();
  if v_plain is false then
    for v_index in 1 .. cardinality(v_keys) loop
      v_head := v_heads[v_index];
      if v_head.version is null and pgstate._secret_in(v_actor, v_keys[v_index], v_keys[v_index]) is not null then
        v_head.status := 'PS009';
        v_heads[v_index] := v_head;
      elsif v_head.live is not true or v_head.at <= v_now then
        v_head := pgstate._thread_lock(v_actor, v_keys[v_index], null, p_claims => false, p_create => exists (
          select from unnest(save_checkpoints.keys, save_checkpoints.parents, save_checkpoints.may_begins) u (key, parent, may_begin)
           where u.key = v_keys[v_index] and coalesce(u.parent, '') = '' and coalesce(u.may_begin, true)));
        v_head.status := null;
        v_heads[v_index] := v_head;
      end if;
    end loop;
    v_now := pgstate._now();
  end if;
  if v_keys is not null and current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_claims_seen(v_keys);
  end if;

  for v_row in
    select i.*, coalesce(i.parent, '') = '' and coalesce(i.may_begin, true) as begins, sum(i.count) over w as last,
           sum(i.chunks) over w as last_chunk, sum(i.guarded) over w as last_guard
      from unnest(save_checkpoints.keys, save_checkpoints.counts, save_checkpoints.chunk_counts, save_checkpoints.metadatas, save_checkpoints.ids,
                  save_checkpoints.parents, save_checkpoints.namespaces, save_checkpoints.headers, save_checkpoints.wholes,
                  save_checkpoints.expect_heads, save_checkpoints.guard_counts, save_checkpoints.ttls, save_checkpoints.run_ids,
                  save_checkpoints.tokens, save_checkpoints.may_begins, v_codes) with ordinality
           as i (key, count, chunks, metadata, id, parent, ns, header, whole, expect_head, guarded, ttl, run_id, token, may_begin, code, ord)
    window w as (order by i.ord rows unbounded preceding)
     order by i.ord
  loop
    v_at := array_position(v_keys, v_row.key);
    v_head := v_heads[v_at];
    v_stored := null;
    if v_row.code is null then
      v_row.code := nullif(v_head.status, 'written');
    end if;
    if v_row.code is null and v_suspect then
      v_guarded := pgstate._guarded_parts(
        v_actor, v_row.key, save_checkpoints.names[v_row.last - v_row.count + 1 : v_row.last],
        save_checkpoints.types[v_row.last - v_row.count + 1 : v_row.last], save_checkpoints.data[v_row.last - v_row.count + 1 : v_row.last],
        v_row.metadata, save_checkpoints.chunk_types[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk],
        save_checkpoints.chunk_data[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk],
        concat_ws(' ', v_row.id, v_row.ns, v_row.run_id, array_to_string(save_checkpoints.versions[v_row.last - v_row.count + 1 : v_row.last], ' ')));
      if v_guarded.rule is not null then
        v_row.code := 'PS009';
      else
        v_row.metadata := v_guarded.metadata;
        if v_row.count > 0 then
          save_checkpoints.data[v_row.last - v_row.count + 1 : v_row.last] := v_guarded.data;
        end if;
      end if;
    end if;
    if v_row.code is not null then
      v_status := case v_row.code when 'PS010' then 'denied' else 'invalid' end;
    elsif not v_head.live and (v_row.token is not null or not v_row.begins) then
      v_status := case when v_row.token is null then 'missing' else 'stale' end;
    else
      v_stored := pgstate._store_checkpoint(
        v_actor, v_row.key, v_now, v_row.token, coalesce(v_row.ns, ''), v_row.id, v_row.parent,
        coalesce(save_checkpoints.names[v_row.last - v_row.count + 1 : v_row.last], '{}'),
        case when save_checkpoints.versions is not null
              and cardinality(array_remove(save_checkpoints.versions[v_row.last - v_row.count + 1 : v_row.last], null)) > 0
             then save_checkpoints.versions[v_row.last - v_row.count + 1 : v_row.last] end,
        save_checkpoints.types[v_row.last - v_row.count + 1 : v_row.last], save_checkpoints.data[v_row.last - v_row.count + 1 : v_row.last],
        case when v_row.chunks > 0 then save_checkpoints.chunk_types[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk] end,
        case when v_row.chunks > 0 then save_checkpoints.chunk_data[v_row.last_chunk - v_row.chunks + 1 : v_row.last_chunk] end,
        v_row.header, coalesce(v_row.whole, true), v_row.metadata, v_row.run_id, v_row.expect_head,
        case when v_row.guarded is not null then coalesce(save_checkpoints.guards[v_row.last_guard - v_row.guarded + 1 : v_row.last_guard], '{}') end);
      v_status := coalesce(v_stored.status, 'ok');
      if v_status in ('large', 'unnamed') then
        v_row.code := case v_status when 'large' then 'PS004' else 'PS007' end;
        v_status := 'invalid';
      end if;
    end if;
    if v_status = 'ok' and v_stored.added is not null then
      -- as _thread_write() does
      v_ttl := v_row.ttl;
      v_value := jsonb_build_object(
        'checkpoint', v_stored.id, 'ns', coalesce(v_row.ns, ''),
        'checkpoints', coalesce((v_head.value -> 'checkpoints')::bigint, 0) + v_stored.added,
        'bytes', coalesce((v_head.value -> 'bytes')::bigint, 0) + v_stored.bytes);
      if v_ttl is not null then
        v_value := v_value || jsonb_build_object('ttl', extract(epoch from v_ttl));
      elsif v_head.value ? 'ttl' then
        v_ttl := make_interval(secs => (v_head.value ->> 'ttl')::float8);
        v_value := v_value || jsonb_build_object('ttl', v_head.value -> 'ttl');
      end if;
      if v_ttl is null and v_actor.policies then
        v_ttl := (pgstate._policy_of(v_row.key)).ttl;
      end if;
      v_written := v_written || v_row.key;
      v_created := v_created || not v_head.live;
      v_head := row('written', v_head.version + 1, v_value, true, v_now + nullif(v_ttl, interval '0'))::pgstate._thread_head;
      v_heads[v_at] := v_head;
      v_numbers := v_numbers || v_head.version;
      v_values := v_values || v_value;
      v_expiries := v_expiries || v_head.at;
    end if;
    v_out := v_out || row(v_row.ord, v_status, case when v_status = 'ok' then v_stored.id end, case when v_status = 'ok' then v_head.version end,
                          v_stored.head, v_stored.missing, v_row.code, null, null)::pgstate.save_outcome;
  end loop;

  if v_written <> '{}' then
    if save_checkpoints.wake is not true then
      v_done := set_config('pgstate.wake', 'off', true);
    end if;
    with changed as (
      update pgstate.entry e
         set kind = 'thread', version = h.version, live = true, value = h.value, writer = v_actor.name, via = session_user,
             created_at = case when e.value is not null then e.created_at else v_now end, updated_at = v_now, expires_at = h.expires_at,
             priority = case when e.value is not null then e.priority else 0 end,
             not_before = case when e.value is not null then e.not_before end, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, e.key) else v_actor.trust end
        from unnest(v_keys, v_heads) as h (key, status, version, value, live, expires_at)
       where e.key = h.key and h.status = 'written'
    )
    insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, trust)
    select n.key, n.version, v_actor.epoch, 'put', n.created, n.value, v_actor.name, session_user, v_now, n.expires_at,
           case when v_actor.policies then pgstate._capped(v_actor.trust, n.key) else v_actor.trust end
      from unnest(v_written, v_numbers, v_created, v_values, v_expiries) as n (key, version, created, value, expires_at);
    if save_checkpoints.wake is not true then
      v_done := set_config('pgstate.wake', v_wake, true);
    end if;
  end if;
  if save_checkpoints.lane is not null or save_checkpoints.wake is not true then
    v_watched := pgstate._finish(
      save_checkpoints.lane, save_checkpoints.turn,
      (select jsonb_agg(jsonb_build_array(o.status, o.id, o.version, o.head, to_jsonb(o.missing), o.code) order by o.ord) from unnest(v_out) o),
      case when save_checkpoints.wake is not true then v_written end, save_checkpoints.wake is null, v_now);
  end if;
  return query
    select o.ord, o.status, o.id, o.version, o.head, o.missing, o.code,
           case when o.code is not null then pgstate._save_error(o.code, save_checkpoints.keys[o.ord]) end, v_watched
      from unnest(v_out) o;
end
$$;
comment on function pgstate.save_checkpoints(text[], int[], text[], text[], bytea[], text[], int[], text[], bytea[], jsonb[], text[], text[], text[], bytea[], boolean[], text[], int[], text[], interval[], text[], bigint[], boolean[], uuid, bigint, boolean, text, text) is
  'Saves checkpoints of any number of threads in one statement, each as save_checkpoint() would: one outcome per row, in the order of the input; a refused row (code, message) harms no other, and a thread may occur several times. Of names, types, data and versions counts[i] belong to row i, of chunk_types and chunk_data chunk_counts[i], of guards guard_counts[i] (null: no guard). PS007 PS031.';
