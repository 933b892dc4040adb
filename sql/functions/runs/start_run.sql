-- One statement begins a run or goes on with it: the run, its claim, and all that was done of it.
create function pgstate.start_run(
  key text, lease interval default null, name text default null, input_type text default null, input bytea default null, code text default null,
  priority int default null, ready_at timestamptz default null, timeout interval default null, ttl interval default null, parent text default null,
  lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.run_full
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(start_run.agent, start_run.lane, start_run.turn, start_run.key);
  v_head pgstate._thread_head;
  v_run pgstate.run;
  v_claim pgstate.claim;
  v_status text := 'ok';
  v_value jsonb;
  v_created boolean := false;
  v_out pgstate.run_full;
  v_rule text;
  v_done boolean;
begin
  if start_run.lease is not null then
    perform pgstate._check_lease(start_run.lease);
  end if;
  if octet_length(start_run.name) not between 1 and 256 or not pgstate._span_ok(start_run.timeout)
     or start_run.ready_at not between '1970-01-01' and '9999-12-01' then
    raise exception using errcode = 'PS007', message = 'a name has 1 to 256 bytes, a timeout is positive and at most 100 years, ready_at lies between 1970 and 9999';
  elsif greatest(octet_length(start_run.input), octet_length(start_run.input_type), octet_length(start_run.code)) > v_actor.value_limit then
    perform pgstate._raise('PS004', start_run.key);
  elsif v_actor.kept is not null then
    -- the lane says that this was asked, and neither of which run nor what the caller may by now
    if (v_actor.readable and v_actor.writable) is not true then
      perform pgstate._deny();
    end if;
    select c.* into v_claim from pgstate.claim c where c.key = start_run.key;
    -- not as its own what another worker of the same agent has taken over since
    v_status := v_actor.kept ->> 0;
    if v_status = 'ok' and (v_claim.token = (v_actor.kept ->> 2)::bigint and v_claim.lease_until > pgstate._now()) is not true then
      v_status := 'held';
    end if;
    return pgstate._run_full(start_run.key, v_status, v_claim, (v_actor.kept ->> 1)::boolean);
  end if;
  -- who may not is denied below, and learns of no guard
  if (v_actor.readable and v_actor.writable) is true then
    v_rule := pgstate._secret_in(v_actor, start_run.key, concat_ws(' ', start_run.name, start_run.code, start_run.parent, start_run.input_type));
    if v_rule is not null then
      perform pgstate._raise('PS009', start_run.key, pgstate._error_text('PS009', start_run.key) || ': ' || v_rule);
    end if;
    start_run.input := pgstate._guarded_data(v_actor, start_run.key, start_run.input_type, start_run.input, true);
  end if;
  v_head := pgstate._thread_lock(v_actor, start_run.key, null, true, 'run');
  v_run := case when v_head.live then pgstate._run_of(start_run.key) end;
  if not v_head.live then
    if start_run.parent is not null and (pgstate._reachable('write') @> start_run.parent) is not true then
      -- its end locks the parent's row, and tells whether that waited: nobody else's run is held up, or found out, by naming it
      perform pgstate._deny();
    end if;
    perform pgstate._add_run(start_run.key, start_run.name, start_run.code, start_run.input_type, start_run.input, start_run.priority,
                             start_run.ready_at, start_run.timeout, start_run.parent, v_head.at, case when v_actor.quota then v_actor.id end);
    v_created := true;
    v_value := jsonb_build_object('steps', 0) || case when start_run.name is not null then jsonb_build_object('run', start_run.name) else '{}' end;
  elsif start_run.lease is null or v_run.state in ('done', 'cancelled') then
    v_status := case when v_run.state = 'open' then 'exists' else 'ended' end;
  elsif v_run.state = 'failed' then
    v_value := v_head.value - 'error' || jsonb_build_object('steps', pgstate._reopen_run(start_run.key));
  elsif v_head.value ->> 'status' <> 'running' then
    v_value := v_head.value;
  end if;
  if v_status = 'ok' and start_run.lease is not null then
    v_claim := (pgstate._take(v_actor, array[start_run.key], start_run.lease))[1];
    if v_claim.key is null then
      v_status := 'held';
      select c.* into v_claim from pgstate.claim c where c.key = start_run.key;
    elsif not v_created then
      if v_run.asleep then
        perform pgstate._wake_run(start_run.key);
      end if;
      if v_run.code is distinct from start_run.code then
        perform pgstate._new_code(start_run.key, start_run.code);
      end if;
    end if;
  elsif v_created then
    v_status := 'created';
  end if;
  if v_value is not null and v_status <> 'held' then
    v_done := pgstate._thread_write(v_actor, start_run.key, v_head,
      v_value || jsonb_build_object('status', case v_status when 'ok' then 'running' else 'waiting' end), start_run.ttl, 'run') is not null;
  end if;
  v_out := pgstate._run_full(start_run.key, v_status, v_claim, v_created);
  if start_run.lane is not null then
    v_done := pgstate._lane_end(start_run.lane, start_run.turn, jsonb_build_array(v_status, v_created, v_claim.token));
  end if;
  return v_out;
end
$$;
comment on function pgstate.start_run(text, interval, text, text, bytea, text, int, timestamptz, interval, interval, text, uuid, bigint, text) is
  'Begins a run, or goes on with it: claims it for lease and returns what was done of it. Without lease it is left to workers. name: the workflow that workers know; input of a serializer''s form input_type; code: the version of the code; ready_at: not before; timeout: fails unless it has ended; ttl: how long it stays after each change. What is given for a run that is there already changes nothing, but code. A failed one is tried again. Status ok with a token, created or exists without lease, ended (done or cancelled), held (retry_in). Needs read and write, and to begin one with a parent write on that. PS001 PS004 PS007 PS009 PS010 PS031 PS040.';
