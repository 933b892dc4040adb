-- Any write of one row, as write_many() takes it: what clients send that have just one, and what put(), merge(), delete()
-- and complete() are. A plain put and a plain completion go a short way, in plain statements; everything else is decided by
-- write_many(), which finds the entry locked already.
--
-- The short way of a key that exists: the entry is locked first and written by a second statement, whose snapshot shows every claim that there
-- is (claims are taken under the entry's lock), and whose time is the one after the wait for the lock. A key that was never
-- there (a deleted one has left a tombstone) has no claim and no lock either: inserting it decides.
create function pgstate.write_one(
  op text, key text, value jsonb default null, expect bigint default null, expect_value jsonb default null,
  ttl interval default null, token bigint default null, priority int default null, not_before timestamptz default null,
  reducer text default null, return_value boolean default null, op_id text default null, lane uuid default null,
  turn bigint default null, wake boolean default true, lock_timeout text default null, agent text default null,
  trust text default null, sources jsonb default null
) returns pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_one.agent, write_one.lane, write_one.turn, write_one.key);
  v_version bigint;
  v_plain boolean;
  v_now timestamptz;
  v_out pgstate.outcome;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_actor.kept is not null then
    return pgstate._unpack(1, v_actor.kept -> 0, write_one.key);
  end if;
  if write_one.wake is not true or write_one.lock_timeout is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', coalesce(write_one.lock_timeout, current_setting('lock_timeout')), true)
           || set_config('pgstate.wake', case when write_one.wake then v_wake else 'off' end, true);
  end if;
  v_plain := write_one.op = 'put' and write_one.expect_value is null and write_one.token is null
    and write_one.return_value is null and write_one.op_id is null and write_one.trust is null and write_one.sources is null and v_actor.writable
    and (write_one.expect is null or v_actor.readable) and pg_column_size(write_one.value) <= v_actor.value_limit
    and not pgstate._may_be_secret(concat(write_one.key, ' ', write_one.value));
  -- what few give is told apart in expressions of its own, here and below: each is initialised anew in every transaction
  if v_plain and (write_one.ttl is not null or write_one.not_before is not null or v_actor.policies) then
    v_plain := pgstate._span_ok(write_one.ttl) and (write_one.not_before is null or write_one.not_before between '1970-01-01' and '9999-12-01')
      and not (v_actor.policies and pgstate._has_rules(array[write_one.key]));
  end if;
  if v_plain then
    -- lives are told by the value: see _put_existing()
    if write_one.expect is distinct from 0 then
      select e.version into v_version
        from pgstate.entry e
       where e.key = write_one.key and e.value is not null and e.kind = 'value'
         and (write_one.expect is null or e.version = write_one.expect) for no key update;
    end if;
    if v_version is null then
      if coalesce(write_one.expect, 0) = 0 and pgstate._key_ok(write_one.key) then
        v_now := pgstate._now();
        v_version := pgstate._put_new(v_actor, write_one.key, write_one.value, write_one.ttl, write_one.priority, write_one.not_before,
                                      v_now);
      end if;
    else
      if current_setting('transaction_isolation') <> 'read committed' then
        perform pgstate._check_claims_seen(array[write_one.key]);
      end if;
      v_now := pgstate._now();
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, value = write_one.value, writer = v_actor.name, via = session_user, updated_at = v_now, trust = v_actor.trust,
               expires_at = v_now + write_one.ttl, priority = coalesce(write_one.priority, e.priority),
               not_before = coalesce(write_one.not_before, e.not_before), full_version = null
         where e.key = write_one.key and (e.expires_at is null or e.expires_at > v_now)
           and not exists (select from pgstate.claim c where c.key = write_one.key and c.lease_until > v_now)
        returning e.version, e.via, e.expires_at
      )
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select write_one.key, c.version, v_actor.epoch, 'put', write_one.value, v_actor.name, c.via, v_now, c.expires_at, v_actor.trust
        from changed c;
      v_version := case when found then v_version + 1 end;
    end if;
  elsif write_one.op = 'complete' and write_one.token is not null and write_one.expect is null and write_one.expect_value is null
        and write_one.return_value is null
        and write_one.op_id is null and write_one.trust is null and write_one.sources is null and v_actor.writable and v_actor.readable then
    -- likewise: the claim is ended in the statement that asks whether it is the caller's
    select e.version into v_version
      from pgstate.entry e where e.key = write_one.key and e.value is not null and e.kind = 'value' for no key update;
    if v_version is not null then
      if current_setting('transaction_isolation') <> 'read committed' then
        perform pgstate._check_claims_seen(array[write_one.key]);
      end if;
      v_now := pgstate._now();
      with ended as (
        delete from pgstate.claim c
         where c.key = write_one.key and c.token = write_one.token and c.holder_id = v_actor.id and c.lease_until > v_now
        returning c.key
      ), changed as (
        update pgstate.entry e
           set version = e.version + 1, live = false, value = null, writer = v_actor.name, via = session_user, updated_at = v_now,
               expires_at = null, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, write_one.key) else v_actor.trust end
          from ended n
         where e.key = n.key and (e.expires_at is null or e.expires_at > v_now)
        returning e.version, e.trust
      )
      insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
      select write_one.key, c.version, v_actor.epoch, 'complete', v_actor.name, session_user, v_now, c.trust from changed c;
      v_version := case when found then v_version + 1 end;
    end if;
  end if;
  if v_version is not null then
    v_out := row(1, 'ok', case when v_actor.readable then v_version end, null, null, null, null)::pgstate.outcome;
    if write_one.lane is not null or write_one.wake is not true then
      v_out.watched := pgstate._finish(write_one.lane, write_one.turn, jsonb_build_array(v_out.version),
                                       case when write_one.wake is not true then array[write_one.key] end, write_one.wake is null, v_now);
    end if;
  else
    select o.* into v_out
      from pgstate.write_many(array[write_one.op], array[write_one.key], array[write_one.value], array[write_one.expect],
             array[write_one.expect_value], array[write_one.ttl], array[write_one.token], array[write_one.priority],
             array[write_one.not_before], array[write_one.reducer], array[write_one.return_value],
             case when write_one.op_id is not null then array[write_one.op_id] end, wake => write_one.wake, agent => write_one.agent,
             trusts => case when write_one.trust is not null then array[write_one.trust] end,
             sources => case when write_one.sources is not null then array[write_one.sources] end) o;
    if write_one.lane is not null then
      v_done := pgstate._lane_end(write_one.lane, write_one.turn, jsonb_build_array(pgstate._pack(v_out)));
    end if;
  end if;
  if write_one.wake is not true then
    v_done := set_config('pgstate.wake', v_wake, true);
  end if;
  return v_out;
end
$$;
comment on function pgstate.write_one(text, text, jsonb, bigint, jsonb, interval, bigint, int, timestamptz, text, boolean, text, uuid, bigint, boolean, text, text, text, jsonb) is
  'One write: op is put, merge, delete or complete, the rest as in write_many(). A refused write is an outcome with code and message, not an error. wake null: watchers are woken in this transaction when no other is writing, which watched null tells, and are left to the caller as with wake false else. lock_timeout is set for the rest of the transaction, for clients that have other writes waiting: 55P03.';
