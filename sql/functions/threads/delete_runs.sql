create function pgstate.delete_runs(run_ids text[], lane uuid default null, turn bigint default null, agent text default null) returns pgstate.pruned
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(delete_runs.agent, delete_runs.lane, delete_runs.turn);
  v_head pgstate._thread_head;
  v_removed pgstate._removed;
  v_key text;
  v_out pgstate.pruned := row('ok', 0)::pgstate.pruned;
  v_done boolean;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint)::pgstate.pruned;
  end if;
  -- in key order, as everywhere
  foreach v_key in array pgstate._keys_of_runs(coalesce(delete_runs.run_ids, '{}'), v_actor.reads * v_actor.writes) loop
    v_actor.readable := true;
    v_actor.writable := true;
    v_head := pgstate._thread_lock(v_actor, v_key, null, false);
    if v_head.status = 'held' then
      v_out.status := 'held';
    elsif v_head.status is null then
      v_removed := pgstate._remove_checkpoints(v_key, null, null, delete_runs.run_ids);
      v_out.removed := v_out.removed + v_removed.removed;
      if v_removed.value is not null then
        perform pgstate._thread_write(v_actor, v_key, v_head, v_removed.value, null);
      end if;
    end if;
  end loop;
  if delete_runs.lane is not null then
    v_done := pgstate._lane_end(delete_runs.lane, delete_runs.turn, jsonb_build_array(v_out.status, v_out.removed));
  end if;
  return v_out;
end
$$;
comment on function pgstate.delete_runs(text[], uuid, bigint, text) is
  'Removes the checkpoints that these runs made (metadata run_id), of all threads that the caller may read and write, but those that others cannot be read without. Status ok, or held when a thread that somebody has claimed was left out; how many were removed. PS010 PS031.';
