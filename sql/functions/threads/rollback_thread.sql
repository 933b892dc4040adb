create function pgstate.rollback_thread(
  key text, id text, ns text default '', metadata jsonb default null, token bigint default null, lane uuid default null,
  turn bigint default null, agent text default null
) returns pgstate.saved
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(rollback_thread.agent, rollback_thread.lane, rollback_thread.turn, rollback_thread.key);
  v_head pgstate._thread_head;
  v_stored pgstate._stored;
  v_out pgstate.saved;
  v_done boolean;
  v_guarded record;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, v_actor.kept ->> 1, (v_actor.kept ->> 2)::bigint, v_actor.kept ->> 1, null, true)::pgstate.saved;
  end if;
  if (v_actor.readable and v_actor.writable and pgstate._suspect_parts(null, null, null, rollback_thread.metadata)) is true then
    v_guarded := pgstate._guarded_parts(v_actor, rollback_thread.key, null, '{}', null, rollback_thread.metadata, null, null, null);
    if v_guarded.rule is not null then
      perform pgstate._raise('PS009', rollback_thread.key, pgstate._error_text('PS009', rollback_thread.key) || ': ' || v_guarded.rule);
    end if;
    rollback_thread.metadata := v_guarded.metadata;
  end if;
  v_head := pgstate._thread_lock(v_actor, rollback_thread.key, rollback_thread.token, false);
  v_out.status := v_head.status;
  if v_head.status is null then
    v_stored := pgstate._repeat_checkpoint(v_actor, rollback_thread.key, rollback_thread.id, coalesce(rollback_thread.ns, ''),
                                           rollback_thread.metadata, v_head.at);
    v_out := row(coalesce(v_stored.status, 'ok'), v_stored.id, null, v_stored.head, null, null)::pgstate.saved;
    if v_out.status = 'ok' then
      v_out.version := pgstate._thread_write(v_actor, rollback_thread.key, v_head, jsonb_build_object(
        'checkpoint', v_out.id, 'ns', coalesce(rollback_thread.ns, ''), 'checkpoints', (v_head.value -> 'checkpoints')::bigint + 1,
        'bytes', (v_head.value -> 'bytes')::bigint + v_stored.bytes), null);
    end if;
  end if;
  if rollback_thread.lane is not null then
    v_done := pgstate._lane_end(rollback_thread.lane, rollback_thread.turn, jsonb_build_array(v_out.status, v_out.id, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.rollback_thread(text, text, text, jsonb, bigint, uuid, bigint, text) is
  'Goes back to a checkpoint of a thread by a new one with the same channels, which becomes the latest; those between stay. Values are not copied. Status ok with its id, missing, held or stale. Needs read and write. PS001 PS007 PS009 PS010 PS031 PS040.';
