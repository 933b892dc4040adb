create function pgstate._get_checkpoints(p_key text, p_ids text[], p_ns text) returns setof pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  return query
    select f.*
      from (select distinct i from unnest(p_ids) i) n (id)
     -- OFFSET: each by a look at the index, which up to 16 the condition = any (…) is not
     cross join lateral (
       select x.* from pgstate.checkpoint x where x.thread_id = v_thread.id and x.ns = p_ns and x.id = n.id offset 0) c
     cross join lateral pgstate._full_checkpoint(p_key, v_thread.bases, c) f;
end
$$;
comment on function pgstate._get_checkpoints(text, text[], text) is 'Internal: checkpoints of one thread.';
