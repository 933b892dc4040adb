create function pgstate.take_signal(
  key text, token bigint, step text, name text, "position" int, main boolean, timeout interval default null, lane uuid default null,
  turn bigint default null, agent text default null
) returns pgstate.signalled
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(take_signal.agent, take_signal.lane, take_signal.turn, take_signal.key);
  v_head pgstate._thread_head;
  v_out pgstate.signalled;
  v_done boolean;
  v_rule text;
begin
  if v_actor.kept is not null then
    return jsonb_populate_record(null::pgstate.signalled, v_actor.kept);
  elsif take_signal.token is null or take_signal.main is null or (octet_length(take_signal.step) between 1 and 512) is not true
     or (octet_length(take_signal.name) between 1 and 256) is not true
     or take_signal.timeout is not null and not pgstate._span_or_0(take_signal.timeout) then
    raise exception using errcode = 'PS007', message = 'a step has 1 to 512 bytes, the name of a signal 1 to 256, a timeout is at most 100 years; a token is needed';
  end if;
  v_head := pgstate._thread_lock(v_actor, take_signal.key, take_signal.token, false, 'run');
  v_rule := pgstate._secret_in(v_actor, take_signal.key, take_signal.step || ' ' || take_signal.name);
  if v_rule is not null then
    perform pgstate._raise('PS009', take_signal.key, pgstate._error_text('PS009', take_signal.key) || ': ' || v_rule);
  end if;
  v_out.status := v_head.status;
  if v_head.status is null then
    v_out := pgstate._take_signal(take_signal.key, take_signal.token, take_signal.step, take_signal.name, take_signal."position", take_signal.main,
                                  take_signal.timeout, v_head.at, case when v_actor.quota then v_actor.id end);
    if v_out.status in ('ok', 'timeout') then
      v_out.version := pgstate._thread_write(v_actor, take_signal.key, v_head, v_head.value - 'waits' || jsonb_build_object(
        'step', take_signal.step, 'steps', coalesce((v_head.value -> 'steps')::bigint, 0) + 1), null, 'run');
    elsif v_out.status = 'pending' and v_head.value ->> 'waits' is distinct from take_signal.name then
      v_out.version := pgstate._thread_write(v_actor, take_signal.key, v_head, v_head.value || jsonb_build_object('waits', take_signal.name), null, 'run');
    end if;
  end if;
  if take_signal.lane is not null then
    v_done := pgstate._lane_end(take_signal.lane, take_signal.turn, to_jsonb(v_out));
  end if;
  return v_out;
end
$$;
comment on function pgstate.take_signal(text, bigint, text, text, int, boolean, interval, uuid, bigint, text) is
  'A step of a run that the caller holds takes the oldest signal of a name, and is recorded with it: status ok; or waits (pending, until due_at, which timeout sets when it begins to wait), or has waited for too long (timeout). Status also stale, missing, ended, exists. Needs read and write. PS001 PS007 PS009 PS010 PS031 PS040.';
