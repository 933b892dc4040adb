-- Of a thread that the caller may read.
create function pgstate._checkpoint_parts(p_key text, p_ids text[], p_ns text) returns pgstate.checkpoint_parts
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
  v_types text[];
  v_data bytea[];
  v_parts pgstate.checkpoint_parts;
  v_ids text[] := array(select distinct i from unnest(p_ids) i);
begin
  -- OFFSET: each by a look at the index, which up to 16 the condition = any (…) is not
  select array_agg(r.type), array_agg(r.data) into v_types, v_data
    from unnest(v_ids) n (id)
   cross join lateral (
     select x.types, x.data from pgstate.checkpoint x where x.thread_id = v_thread.id and x.ns = p_ns and x.id = n.id offset 0) c
   cross join lateral unnest(c.types, c.data) r (type, data)
   where r.type = '@' or r.type ^@ '#';
  select k.hashes, k.types, k.data into v_parts.chunk_hashes, v_parts.chunk_types, v_parts.chunk_data
    from pgstate._chunks(v_thread.bases || v_thread.id, v_types, v_data) k;
  select array_agg(w.checkpoint::text), array_agg(w.task_id::text), array_agg(w.task_path::text), array_agg(w.idx), array_agg(w.channel),
         array_agg(w.type::text), array_agg(w.data)
    into v_parts.write_checkpoints, v_parts.write_task_ids, v_parts.write_task_paths, v_parts.write_idxs, v_parts.write_channels,
         v_parts.write_types, v_parts.write_data
    from (select w.*
            from unnest(v_ids) n (id)
           cross join lateral (
             select x.* from pgstate.pending_write x where x.thread_id = v_thread.id and x.ns = p_ns and x.checkpoint = n.id offset 0) w
           order by w.task_path, w.task_id, w.idx) w;
  return v_parts;
end
$$;
comment on function pgstate._checkpoint_parts(text, text[], text) is 'Internal: what checkpoints of one thread reach.';
