-- A save is one statement: the new chunks, the checkpoint, the thread's entry, its version in the feed. lane, turn, wake
-- and lock_timeout as in write_one().
create function pgstate.save_checkpoint(
  key text, names text[], types text[], data bytea[], versions text[] default null, chunk_types text[] default null,
  chunk_data bytea[] default null, metadata jsonb default null, id text default null, parent text default null, ns text default '',
  header bytea default null, whole boolean default true, expect_head text default null, guard text[] default null,
  ttl interval default null, run_id text default null, token bigint default null, lane uuid default null, turn bigint default null,
  wake boolean default true, lock_timeout text default null, may_begin boolean default true, agent text default null
) returns pgstate.saved
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(save_checkpoint.agent, save_checkpoint.lane, save_checkpoint.turn, save_checkpoint.key);
  v_head pgstate._thread_head;
  v_stored pgstate._stored;
  v_out pgstate.saved;
  v_count int := cardinality(save_checkpoint.names);
  v_wake text;
  v_fit boolean;
  v_plain boolean;
  v_guarded record;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_actor.kept is not null then
    return row('ok', v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint, v_actor.kept ->> 2, null, true)::pgstate.saved;
  end if;
  -- what is unusual is told apart in few expressions, here and below: each is initialised anew in every transaction
  v_fit := v_count = all (array[cardinality(save_checkpoint.types), cardinality(save_checkpoint.data), coalesce(cardinality(save_checkpoint.versions), v_count)])
    and array_position(save_checkpoint.names, null) is null;
  if v_fit and (save_checkpoint.chunk_types is not null or save_checkpoint.chunk_data is not null) then
    v_fit := cardinality(save_checkpoint.chunk_types) is not distinct from cardinality(save_checkpoint.chunk_data)
      and array_position(save_checkpoint.chunk_types, null) is null and array_position(save_checkpoint.chunk_data, null) is null;
  end if;
  if (octet_length(concat(save_checkpoint.id, save_checkpoint.parent, save_checkpoint.ns, save_checkpoint.run_id)) <= 256 and save_checkpoint.id <> ''
      and save_checkpoint.ns is not null) is not true then
    if (octet_length(save_checkpoint.ns) <= 1900 and coalesce(octet_length(save_checkpoint.id), 1) between 1 and 256
        and coalesce(octet_length(save_checkpoint.parent), 0) <= 256 and coalesce(octet_length(save_checkpoint.run_id), 0) <= 1900) is not true then
      raise exception using errcode = 'PS007', message = 'an id has 1 to 256 bytes, a namespace and the name of a run at most 1900';
    end if;
  end if;
  if v_fit is not true then
    raise exception using errcode = 'PS007', message = 'names, types, data and versions must be of equal length, and so must chunk_types and chunk_data';
  end if;
  if save_checkpoint.lock_timeout is not null then
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', save_checkpoint.lock_timeout, true);
  end if;
  if (v_actor.readable and v_actor.writable
      and pgstate._suspect_parts(
        save_checkpoint.names, save_checkpoint.types || save_checkpoint.chunk_types, save_checkpoint.data || save_checkpoint.chunk_data, save_checkpoint.metadata,
        concat_ws(' ', save_checkpoint.id, save_checkpoint.ns, save_checkpoint.run_id, array_to_string(save_checkpoint.versions, ' ')))) is true then
    v_guarded := pgstate._guarded_parts(
      v_actor, save_checkpoint.key, save_checkpoint.names, save_checkpoint.types, save_checkpoint.data, save_checkpoint.metadata, save_checkpoint.chunk_types,
      save_checkpoint.chunk_data,
      concat_ws(' ', save_checkpoint.id, save_checkpoint.ns, save_checkpoint.run_id, array_to_string(save_checkpoint.versions, ' ')));
    if v_guarded.rule is not null then
      perform pgstate._raise('PS009', save_checkpoint.key, pgstate._error_text('PS009', save_checkpoint.key) || ': ' || v_guarded.rule);
    end if;
    save_checkpoint.data := v_guarded.data;
    save_checkpoint.metadata := v_guarded.metadata;
  end if;
  -- the entry is locked with the rest, unless it must be made or looked at more closely
  v_plain := v_actor.readable and v_actor.writable and current_setting('transaction_isolation') = 'read committed';
  loop
    if v_plain is not true then
      v_head := pgstate._thread_lock(v_actor, save_checkpoint.key, save_checkpoint.token, coalesce(save_checkpoint.parent, '') = '' and coalesce(save_checkpoint.may_begin, true), p_claims => false);
      exit when v_head.status is not null;
    end if;
    v_stored := pgstate._store_checkpoint(
      v_actor, save_checkpoint.key, v_head.at, save_checkpoint.token, save_checkpoint.ns, save_checkpoint.id, save_checkpoint.parent,
      save_checkpoint.names, save_checkpoint.versions, save_checkpoint.types, save_checkpoint.data, save_checkpoint.chunk_types,
      save_checkpoint.chunk_data, save_checkpoint.header, coalesce(save_checkpoint.whole, true), save_checkpoint.metadata,
      save_checkpoint.run_id, save_checkpoint.expect_head, save_checkpoint.guard);
    exit when v_stored.status is distinct from 'unlocked';
    v_plain := false;
  end loop;
  if v_plain then
    v_head := row(null, v_stored.version, v_stored.value, true, v_stored.at)::pgstate._thread_head;
  end if;
  v_out := row(coalesce(v_head.status, v_stored.status, 'ok'), v_stored.id, null, v_stored.head, v_stored.missing, null)::pgstate.saved;
  if v_out.status = 'ok' and v_stored.added is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    v_done := set_config('pgstate.wake', case when save_checkpoint.wake then v_wake else 'off' end, true);
    if v_plain and save_checkpoint.ttl is null and not v_head.value ? 'ttl' and not (v_actor.policies and pgstate._has_rules(array[save_checkpoint.key])) then
      -- as _thread_write() does where nothing is said of times; the policies bind what was locked by the owner
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, writer = v_actor.name, via = session_user, updated_at = v_head.at, full_version = null, trust = v_actor.trust,
               value = jsonb_build_object(
                 'checkpoint', v_out.id, 'ns', save_checkpoint.ns,
                 'checkpoints', coalesce((e.value -> 'checkpoints')::bigint, 0) + v_stored.added,
                 'bytes', coalesce((e.value -> 'bytes')::bigint, 0) + v_stored.bytes)
         where e.key = save_checkpoint.key
        returning e.version, e.value, e.via
      )
      insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, trust)
      select save_checkpoint.key, c.version, v_actor.epoch, 'put', false, c.value, v_actor.name, c.via, v_head.at, v_actor.trust from changed c;
      if not found then
        perform pgstate._deny();
      end if;
      v_out.version := v_head.version + 1;
    else
      v_out.version := pgstate._thread_write(v_actor, save_checkpoint.key, v_head, jsonb_build_object(
        'checkpoint', v_out.id, 'ns', save_checkpoint.ns,
        'checkpoints', coalesce((v_head.value -> 'checkpoints')::bigint, 0) + v_stored.added,
        'bytes', coalesce((v_head.value -> 'bytes')::bigint, 0) + v_stored.bytes), save_checkpoint.ttl);
    end if;
    if save_checkpoint.lane is not null or (v_stored.watching and save_checkpoint.wake is not true) then
      v_out.watched := pgstate._finish(save_checkpoint.lane, save_checkpoint.turn, jsonb_build_array(v_out.id, v_out.version, v_out.head),
                                       case when v_stored.watching and save_checkpoint.wake is not true then array[save_checkpoint.key] end,
                                       save_checkpoint.wake is null, v_head.at);
    end if;
    v_done := set_config('pgstate.wake', v_wake, true);
  elsif v_out.status = 'ok' then
    v_out.version := v_head.version;
  elsif v_out.status = 'large' then
    perform pgstate._raise('PS004', save_checkpoint.key, pgstate._save_error('PS004', save_checkpoint.key));
  elsif v_out.status = 'unnamed' then
    perform pgstate._raise('PS007', save_checkpoint.key, pgstate._save_error('PS007', save_checkpoint.key));
  else
    v_out.id := null;
  end if;
  return v_out;
end
$$;
comment on function pgstate.save_checkpoint(text, text[], text[], bytea[], text[], text[], bytea[], jsonb, text, text, text, bytea, boolean, text, text[], interval, text, bigint, uuid, bigint, boolean, text, boolean, text) is
  'Saves a checkpoint of a thread: of channel names[i], types[i] is a serializer''s type and data[i] the value; or types[i] is @ or #0, #1 … and data[i] the hashes of its chunks, see the table checkpoint. chunk_types and chunk_data are those that are new. id null: one above all of the namespace; one that is there is replaced, and nothing changes when it is the same. parent null: the latest; '''': none, which begins a thread, unless may_begin is false. expect_head: the latest must be this one ('''': none). guard: channels that must not have changed between the parent and the latest. whole false: its channels without a value are to be had from its parents, which stay as long. ttl begins anew with each save; 0: none. Status ok, conflict (head: the latest), missing (the parent, or a thread that was deleted), incomplete (missing: chunks to send as well), held, stale. At most 512 MB are sent for one. Needs read and write. PS001 PS004 PS007 PS009 PS010 PS031 PS040.';
