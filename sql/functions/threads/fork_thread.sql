create function pgstate.fork_thread(
  key text, target text, id text default null, ns text default '', history boolean default false, ttl interval default null,
  lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.saved
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(fork_thread.agent, fork_thread.lane, fork_thread.turn);
  v_head pgstate._thread_head;
  v_value jsonb;
  v_out pgstate.saved;
  v_done boolean;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, v_actor.kept ->> 1, (v_actor.kept ->> 2)::bigint, v_actor.kept ->> 1, null, true)::pgstate.saved;
  elsif fork_thread.key is null or not pgstate._key_ok(fork_thread.key) then
    perform pgstate._bad_key(fork_thread.key);
  elsif (v_actor.reads @> fork_thread.key) is not true then
    perform pgstate._deny();
  end if;
  v_actor.readable := v_actor.reads @> fork_thread.target;
  v_actor.writable := v_actor.writes @> fork_thread.target;
  v_head := pgstate._thread_lock(v_actor, fork_thread.target, null, true);
  if v_head.live then
    v_out.status := 'conflict';
    v_out.head := v_head.value ->> 'checkpoint';
  else
    v_value := pgstate._fork_thread(fork_thread.key, fork_thread.target, fork_thread.id, coalesce(fork_thread.ns, ''),
                                    coalesce(fork_thread.history, false), v_head.at, case when v_actor.quota then v_actor.id end);
    v_out.status := case when v_value is null then 'missing' else 'ok' end;
    if v_value is not null then
      v_out.id := v_value ->> 'checkpoint';
      v_out.head := v_out.id;
      v_out.version := pgstate._thread_write(v_actor, fork_thread.target, v_head, v_value, fork_thread.ttl);
    end if;
  end if;
  if fork_thread.lane is not null then
    v_done := pgstate._lane_end(fork_thread.lane, fork_thread.turn, jsonb_build_array(v_out.status, v_out.id, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.fork_thread(text, text, text, text, boolean, interval, uuid, bigint, text) is
  'Makes a thread under another key from a checkpoint of one, the latest of the namespace unless an id is given, with the writes after it; or, with history, from all its checkpoints of all namespaces. Their values are not copied. Status ok, conflict when there is a thread under target, missing. Needs read on key, read and write on target. PS001 PS007 PS009 PS010 PS031 PS040.';
