create function pgstate.fail(
  key text, token bigint, error text default null, retry_in interval default null, op_id text default null, agent text default null
) returns pgstate.claim_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.claim_outcome;
begin
  select o.* into v_out
    from pgstate.fail_many(array[fail.key], array[fail.token], array[fail.error], array[fail.retry_in],
                           case when fail.op_id is not null then array[fail.op_id] end, agent => fail.agent) o;
  if v_out.code is not null then
    perform pgstate._raise(v_out.code, fail.key, v_out.message);
  end if;
  return v_out;
end
$$;
comment on function pgstate.fail(text, bigint, text, interval, text, text) is
  'Gives claimed work back as failed: status ok, or stale. It may be claimed again retry_in from now (0: at once); without one after the backoff of its policy, doubled with each failure up to backoff_limit (without policies 1 s, up to 5 minutes). When its max_attempts are used up it is moved to the dead_letter of its policy (moved_to), if the caller may write there and its quota has room, else it stays and is not claimed again: retry_in is null then, and release(key, force => true) lets it be. Leases that ended count as attempts, claims that were released do not. tasks() shows error, attempts and next try. PS001 PS007 PS010 PS030.';
