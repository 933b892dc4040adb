create function pgstate.signal_run(
  key text, name text, type text default null, data bytea default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(signal_run.agent, signal_run.lane, signal_run.turn, signal_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_rule text;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  elsif (octet_length(signal_run.name) between 1 and 256) is not true then
    raise exception using errcode = 'PS007', message = 'the name of a signal has 1 to 256 bytes';
  elsif octet_length(signal_run.data) > v_actor.value_limit then
    perform pgstate._raise('PS004', signal_run.key);
  end if;
  -- who may not is denied below, and learns of no guard
  if (v_actor.readable and v_actor.writable) is true then
    v_rule := pgstate._secret_in(v_actor, signal_run.key, signal_run.name);
    if v_rule is not null then
      perform pgstate._raise('PS009', signal_run.key, pgstate._error_text('PS009', signal_run.key) || ': ' || v_rule);
    end if;
    signal_run.data := pgstate._guarded_data(v_actor, signal_run.key, signal_run.type, signal_run.data, true);
  end if;
  v_head := pgstate._thread_lock(v_actor, signal_run.key, null, false, 'run');
  if v_head.live is not true then
    v_out.status := 'missing';
  elsif pgstate._add_signal(v_actor, signal_run.key, signal_run.name, signal_run.type, signal_run.data, v_head.at) then
    v_out.status := 'ok';
    v_out.version := pgstate._thread_write(v_actor, signal_run.key, v_head, v_head.value || jsonb_build_object('signal', signal_run.name)
      || case when v_head.value ->> 'status' = 'asleep' and not (pgstate._run_of(signal_run.key)).asleep then '{"status": "waiting"}'::jsonb else '{}' end, null, 'run');
  else
    v_out.status := 'ended';
  end if;
  if signal_run.lane is not null then
    v_done := pgstate._lane_end(signal_run.lane, signal_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.signal_run(text, text, text, bytea, uuid, bigint, text) is
  'Sends a signal to a run, whether or not anybody works on it: kept until a step of that name takes it, once. data is of a serializer''s form type. Status ok, missing, or ended. Needs read and write. PS001 PS004 PS007 PS009 PS010 PS031 PS040.';
