-- write_one(), its commit, and the wake-up when somebody watches the key, in one round trip: while others write, a NOTIFY
-- inside the writing transaction would serialise all commits of the cluster, and only a procedure can commit in between. It runs as its caller, since
-- none that commits can be SECURITY DEFINER, and does nothing that the caller could not do with the two functions.
create procedure pgstate.write_and_wake(
  op text, key text, input jsonb, expect bigint, expect_value jsonb, ttl interval, token bigint, priority int, not_before timestamptz,
  reducer text, return_value boolean, op_id text, lane uuid, turn bigint, lock_timeout text, agent text,
  inout status text, inout version bigint, inout value text, inout code text, inout message text, inout watched boolean
)
language plpgsql
as $$
declare
  v_out pgstate.outcome := pgstate.write_one(op, key, input, expect, expect_value, ttl, token, priority, not_before, reducer,
    return_value, op_id, lane, turn, null, lock_timeout, agent);
begin
  status := v_out.status;
  version := v_out.version;
  if v_out.status <> 'ok' or v_out.value is not null then
    value := v_out.value::text;
    code := v_out.code;
    message := v_out.message;
  end if;
  watched := v_out.watched is not false and v_out.status = 'ok';
  if v_out.watched and watched then
    commit;
    -- what was written stays written, and that is what the caller must hear
    begin
      if not pgstate.wake_lane(lane) then
        perform pgstate.wake(array[key], agent);
      end if;
    exception when others then
      null;
    end;
  end if;
end
$$;
comment on procedure pgstate.write_and_wake(text, text, jsonb, bigint, jsonb, interval, bigint, int, timestamptz, text, boolean, text, uuid, bigint, text, text, text, bigint, text, text, text, boolean) is
  'write_one() with wake false, its commit, and wake(): for clients that have one write and no transaction of their own. The last six are the outcome: pass null.';
