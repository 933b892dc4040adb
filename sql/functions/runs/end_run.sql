create function pgstate.end_run(
  key text, token bigint, state text, type text default null, data bytea default null, ready_in interval default null, lane uuid default null,
  turn bigint default null, agent text default null, waits_for text[] default null
) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- for one key the actor has no ranges, which the runs that it waits for are compared with
  v_children boolean := coalesce(cardinality(end_run.waits_for), 0) > 0;
  v_actor pgstate._actor := pgstate._enter_write(end_run.agent, end_run.lane, end_run.turn, case when not v_children then end_run.key end);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_sleeps boolean;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  elsif end_run.token is null or end_run.state is null or end_run.state not in ('done', 'failed', 'cancelled', 'open')
        or end_run.ready_in is not null and not pgstate._span_or_0(end_run.ready_in) then
    raise exception using errcode = 'PS007', message = 'a run ends as done, failed or cancelled, or is given back as open, by its token; ready_in is at most 100 years, or 0';
  elsif octet_length(end_run.data) > v_actor.value_limit then
    perform pgstate._raise('PS004', end_run.key);
  end if;
  if v_children then
    v_actor.readable := v_actor.reads @> end_run.key;
    v_actor.writable := v_actor.writes @> end_run.key;
  end if;
  end_run.data := pgstate._guarded_data(v_actor, end_run.key, end_run.type, end_run.data, false);
  v_head := pgstate._thread_lock(v_actor, end_run.key, end_run.token, false, 'run');
  v_out.status := coalesce(v_head.status, 'ok');
  if v_head.status is null and end_run.state <> 'open' then
    v_out.version := pgstate._end_run(v_actor, end_run.key, v_head, end_run.state, end_run.type, end_run.data);
  elsif v_head.status is null then
    update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, released = c.released + 1 where c.key = end_run.key;
    v_sleeps := end_run.waits_for is not null and pgstate._set_down_run(end_run.key, end_run.ready_in,
      array(select k from unnest(end_run.waits_for) k where v_actor.reads @> k));
    v_out.version := pgstate._thread_write(v_actor, end_run.key, v_head,
      v_head.value || jsonb_build_object('status', case when v_sleeps then 'asleep' else 'waiting' end), null, 'run');
    if end_run.waits_for is null and end_run.ready_in > interval '0' then
      perform pgstate._delay_run(end_run.key, end_run.ready_in);
    end if;
  end if;
  if end_run.lane is not null then
    v_done := pgstate._lane_end(end_run.lane, end_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.end_run(text, bigint, text, text, bytea, interval, uuid, bigint, text, text[]) is
  'Ends a run that the caller holds: state done with its result, failed (type error, data the message), cancelled; or gives it back to other workers (open), for ready_in at the earliest. With waits_for it sleeps: until ready_in is over, if it is given, a signal comes that one of its steps waits for, a run of these keys that it has started ends, or it is cancelled. Status ok with the version of its entry, stale or missing. PS001 PS004 PS007 PS010 PS031 PS040.';
