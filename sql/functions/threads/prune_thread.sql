create function pgstate.prune_thread(
  key text, keep int default 1, ns text default null, token bigint default null, lane uuid default null, turn bigint default null,
  agent text default null, ids text[] default null
) returns pgstate.pruned
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(prune_thread.agent, prune_thread.lane, prune_thread.turn, prune_thread.key);
  v_head pgstate._thread_head;
  v_removed pgstate._removed;
  v_out pgstate.pruned;
  v_done boolean;
begin
  if v_actor.kept is not null then
    return row(v_actor.kept ->> 0, (v_actor.kept ->> 1)::bigint)::pgstate.pruned;
  elsif (prune_thread.keep >= 1) is not true then
    raise exception using errcode = 'PS007', message = 'keep is at least 1: delete_thread() removes all';
  end if;
  v_head := pgstate._thread_lock(v_actor, prune_thread.key, prune_thread.token, false);
  v_out.status := coalesce(v_head.status, 'ok');
  if v_head.status is null then
    v_removed := pgstate._remove_checkpoints(prune_thread.key, prune_thread.ns, prune_thread.keep, null, prune_thread.ids);
    v_out.removed := v_removed.removed;
    if v_removed.value is not null then
      perform pgstate._thread_write(v_actor, prune_thread.key, v_head, v_removed.value, null);
    end if;
  end if;
  if prune_thread.lane is not null then
    v_done := pgstate._lane_end(prune_thread.lane, prune_thread.turn, jsonb_build_array(v_out.status, v_out.removed));
  end if;
  return v_out;
end
$$;
comment on function pgstate.prune_thread(text, int, text, bigint, uuid, bigint, text, text[]) is
  'Removes the checkpoints of a thread but the newest keep of each namespace (or of ns alone), those that they cannot be read without, and what is left of no checkpoint. ids: these go too, though they are the newest. Status ok with the number removed, missing, held or stale. Needs read and write. PS001 PS007 PS010 PS031 PS040.';
