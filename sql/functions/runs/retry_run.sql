create function pgstate.retry_run(key text, lane uuid default null, turn bigint default null, agent text default null) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(retry_run.agent, retry_run.lane, retry_run.turn, retry_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.step_outcome;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  end if;
  v_head := pgstate._thread_lock(v_actor, retry_run.key, null, false, 'run');
  if v_head.live is not true then
    v_out.status := 'missing';
  elsif (pgstate._run_of(retry_run.key)).state in ('open', 'done') then
    v_out.status := (pgstate._run_of(retry_run.key)).state;
  else
    v_out.status := 'ok';
    v_out.version := pgstate._thread_write(v_actor, retry_run.key, v_head, v_head.value - 'error' - 'cancelling' || jsonb_build_object(
      'status', 'waiting', 'steps', pgstate._reopen_run(retry_run.key)), null, 'run');
  end if;
  if retry_run.lane is not null then
    v_done := pgstate._lane_end(retry_run.lane, retry_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.retry_run(text, uuid, bigint, text) is
  'Lets a failed or cancelled run go on: its workers take it again. The steps that it failed with are done again; one that undid what it had done begins anew. Status ok, open or done (nothing to retry), missing. Needs read and write. PS001 PS010 PS031 PS040.';
