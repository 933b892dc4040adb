create function pgstate.fork_run(
  key text, target text, from_step text default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(fork_run.agent, fork_run.lane, fork_run.turn);
  v_head pgstate._thread_head;
  v_run pgstate.run;
  v_steps bigint;
  v_out pgstate.step_outcome;
  v_done boolean;
begin
  if v_actor.kept is not null then
    v_out.status := v_actor.kept ->> 0;
    v_out.version := (v_actor.kept ->> 1)::bigint;
    return v_out;
  elsif fork_run.key is null or not pgstate._key_ok(fork_run.key) then
    perform pgstate._bad_key(fork_run.key);
  elsif (v_actor.reads @> fork_run.key) is not true then
    perform pgstate._deny();
  end if;
  v_actor.readable := v_actor.reads @> fork_run.target;
  v_actor.writable := v_actor.writes @> fork_run.target;
  v_head := pgstate._thread_lock(v_actor, fork_run.target, null, true, 'run');
  v_run := pgstate._run_of(fork_run.key);
  if v_head.live then
    v_out.status := 'conflict';
  elsif v_run.id is null or not exists (select from pgstate.entry e where e.key = fork_run.key and (e.expires_at is null or e.expires_at > v_head.at)) then
    v_out.status := 'missing';
  else
    v_steps := pgstate._fork_run(fork_run.key, fork_run.target, fork_run.from_step, v_head.at, case when v_actor.quota then v_actor.id end);
    v_out.status := case when v_steps is null then 'missing' else 'ok' end;
    if v_steps is not null then
      v_out.version := pgstate._thread_write(v_actor, fork_run.target, v_head, jsonb_build_object('status', 'waiting', 'steps', v_steps)
        || case when v_run.name is not null then jsonb_build_object('run', v_run.name) else '{}' end, null, 'run');
    end if;
  end if;
  if fork_run.lane is not null then
    v_done := pgstate._lane_end(fork_run.lane, fork_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.fork_run(text, text, text, uuid, bigint, text) is
  'Makes a run under another key with the results that one had before a step (all, when from_step is null), to go on its own way from there. Status ok, conflict when there is a run under target, missing (the run, or its step). Needs read on key, read and write on target. PS001 PS009 PS010 PS031 PS040.';
