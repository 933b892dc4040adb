-- Any write of one row, as write_many() takes it: what clients send that have just one, and what put(), merge(), delete()
-- and complete() are. A plain put of a key that exists goes the short way; everything else is decided by write_many().
create function pgstate.write_one(
  op text, key text, value jsonb default null, expect bigint default null, expect_value jsonb default null,
  ttl interval default null, token bigint default null, priority int default null, not_before timestamptz default null,
  reducer text default null, return_value boolean default null, op_id text default null, lane uuid default null,
  turn bigint default null, wake boolean default true, lock_timeout text default null, agent text default null
) returns pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_one.agent);
  v_kept jsonb;
  v_version bigint;
  v_out pgstate.outcome;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if write_one.lane is not null then
    v_kept := pgstate._lane_begin(v_actor, write_one.lane, write_one.turn);
    if v_kept is not null then
      return pgstate._unpack(1, v_kept -> 0, write_one.key);
    end if;
  end if;
  if write_one.lock_timeout is not null then
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', write_one.lock_timeout, true);
  end if;
  if write_one.op = 'put' and write_one.expect is distinct from 0 and write_one.expect_value is null and write_one.token is null
     and write_one.return_value is null and write_one.op_id is null then
    if not write_one.wake then
      v_wake := coalesce(current_setting('pgstate.wake', true), '');
      v_done := set_config('pgstate.wake', 'off', true);
    end if;
    v_version := pgstate._put_one(v_actor, write_one.key, write_one.value, write_one.expect, write_one.ttl, write_one.priority,
                                  write_one.not_before);
    if not write_one.wake then
      v_done := set_config('pgstate.wake', v_wake, true);
    end if;
  end if;
  if v_version is not null then
    v_out := row(1, 'ok', case when v_actor.reads @> write_one.key then v_version end, null, null, null, null)::pgstate.outcome;
    if not write_one.wake then
      v_out.watched := pgstate._watched(array[write_one.key]);
    end if;
  else
    select o.* into v_out
      from pgstate.write_many(array[write_one.op], array[write_one.key], array[write_one.value], array[write_one.expect],
             array[write_one.expect_value], array[write_one.ttl], array[write_one.token], array[write_one.priority],
             array[write_one.not_before], array[write_one.reducer], array[write_one.return_value],
             case when write_one.op_id is not null then array[write_one.op_id] end, wake => write_one.wake, agent => write_one.agent) o;
  end if;
  if write_one.lane is not null then
    v_done := pgstate._lane_end(write_one.lane, write_one.turn, jsonb_build_array(pgstate._pack(v_out)));
  end if;
  return v_out;
end
$$;
comment on function pgstate.write_one(text, text, jsonb, bigint, jsonb, interval, bigint, int, timestamptz, text, boolean, text, uuid, bigint, boolean, text, text) is
  'One write: op is put, merge, delete or complete, the rest as in write_many(). A refused write is an outcome with code and message, not an error. lock_timeout is set for the rest of the transaction, for clients that have other writes waiting: 55P03.';
