create function pgstate._get_checkpoints(p_key text, p_ids text[], p_ns text) returns setof pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  return query
    select f.*
      from pgstate.checkpoint c cross join lateral pgstate._full_checkpoint(p_key, v_thread.bases, c) f
     where c.thread_id = v_thread.id and c.ns = p_ns and c.id = any (p_ids);
end
$$;
comment on function pgstate._get_checkpoints(text, text[], text) is 'Internal: checkpoints of one thread.';
