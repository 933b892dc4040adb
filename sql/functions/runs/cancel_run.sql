create function pgstate.cancel_run(key text, lane uuid default null, turn bigint default null, agent text default null) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(cancel_run.agent, cancel_run.lane, cancel_run.turn, cancel_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  end if;
  v_head := pgstate._thread_lock(v_actor, cancel_run.key, null, false, 'run');
  if v_head.live is not true then
    v_out.status := 'missing';
  elsif (pgstate._run_of(cancel_run.key)).state <> 'open' then
    v_out.status := 'ended';
  elsif exists (select from pgstate.claim c where c.key = cancel_run.key and c.lease_until > v_head.at) then
    v_out.status := 'pending';
    if not v_head.value ? 'cancelling' then
      v_done := pgstate._cancel_run(cancel_run.key, v_head.at);
      v_out.version := pgstate._thread_write(v_actor, cancel_run.key, v_head, v_head.value || '{"cancelling": true}', null, 'run');
    end if;
  elsif pgstate._cancel_run(cancel_run.key, v_head.at) then
    v_out.status := 'pending';
    if not v_head.value ? 'cancelling' then
      v_out.version := pgstate._thread_write(v_actor, cancel_run.key, v_head, v_head.value || '{"cancelling": true, "status": "waiting"}', null, 'run');
    end if;
  else
    v_out.status := 'ok';
    v_out.version := pgstate._end_run(v_actor, cancel_run.key, v_head, 'cancelled', null, null);
  end if;
  if cancel_run.lane is not null then
    v_done := pgstate._lane_end(cancel_run.lane, cancel_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.cancel_run(text, uuid, bigint, text) is
  'Cancels a run: status ok; or pending while there may be something to undo: who works on it is told, else the next worker that knows its workflow does it. One that has no workflow, or has done nothing, ends at once. Also missing, ended. Needs read and write. PS001 PS010 PS031 PS040.';
