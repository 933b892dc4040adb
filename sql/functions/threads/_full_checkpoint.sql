-- A checkpoint with the chunks that it reaches, and the writes that came after it.
create function pgstate._full_checkpoint(p_key text, p_bases bigint[], p_checkpoint pgstate.checkpoint) returns pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  c alias for p_checkpoint;
  v_full pgstate.checkpoint_full;
begin
  v_full := row('ok', p_key, c.ns, c.id, c.parent, c.metadata, c.run_id, c.header, c.whole, c.names, c.versions, c.types, c.data, c.size,
                c.created_at, c.writer, c.via, null, null, null, null, null, null, null, null, null)::pgstate.checkpoint_full;
  select k.hashes, k.types, k.data into v_full.chunk_hashes, v_full.chunk_types, v_full.chunk_data
    from pgstate._chunks(p_bases || c.thread_id, c.types, c.data) k;
  select array_agg(w.task_id order by w.task_path, w.task_id, w.idx), array_agg(w.task_path order by w.task_path, w.task_id, w.idx),
         array_agg(w.idx order by w.task_path, w.task_id, w.idx), array_agg(w.channel order by w.task_path, w.task_id, w.idx),
         array_agg(w.type order by w.task_path, w.task_id, w.idx), array_agg(w.data order by w.task_path, w.task_id, w.idx)
    into v_full.write_task_ids, v_full.write_task_paths, v_full.write_idxs, v_full.write_channels, v_full.write_types, v_full.write_data
    from pgstate.pending_write w where w.thread_id = c.thread_id and w.ns = c.ns and w.checkpoint = c.id;
  return v_full;
end
$$;
comment on function pgstate._full_checkpoint(text, bigint[], pgstate.checkpoint) is 'Internal: a checkpoint with its chunks and writes.';
