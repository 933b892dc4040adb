create function pgstate.delete_run(
  key text, token bigint default null, lane uuid default null, turn bigint default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(delete_run.agent, delete_run.lane, delete_run.turn, delete_run.key);
  v_head pgstate._thread_head;
  v_out pgstate.written;
  v_done boolean;
  v_trust pgstate.trust;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint, null)::pgstate.written;
  end if;
  v_head := pgstate._thread_lock(v_actor, delete_run.key, delete_run.token, false, 'run');
  v_out.status := coalesce(v_head.status, 'ok');
  v_out.version := 0;
  if v_head.status is null then
    update pgstate.entry e
       set version = v_head.version + 1, live = false, value = null, writer = v_actor.name, via = session_user, updated_at = v_head.at,
           expires_at = null, full_version = null, trust = case when v_actor.policies then pgstate._capped(v_actor.trust, delete_run.key) else v_actor.trust end
     where e.key = delete_run.key returning e.version, e.trust into v_out.version, v_trust;
    insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
    values (delete_run.key, v_out.version, v_actor.epoch, 'delete', v_actor.name, session_user, v_head.at, v_trust);
    delete from pgstate.claim c where c.key = delete_run.key;
    perform pgstate._detach_threads(array[delete_run.key]);
  end if;
  if delete_run.lane is not null then
    v_done := pgstate._lane_end(delete_run.lane, delete_run.turn, jsonb_build_array(v_out.status, v_out.version));
  end if;
  return v_out;
end
$$;
comment on function pgstate.delete_run(text, bigint, uuid, bigint, text) is
  'Deletes a run with its steps and signals; maintain() removes them. Status ok, missing, held or stale. Needs read and write. PS001 PS010 PS031 PS040.';
