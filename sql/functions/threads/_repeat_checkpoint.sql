-- A checkpoint with the channels of an earlier one. One that cannot be read without its parent is read without what was
-- written after it, so the new one has the same parent.
create function pgstate._repeat_checkpoint(p_actor pgstate._actor, p_key text, p_id text, p_ns text, p_metadata jsonb, p_now timestamptz) returns pgstate._stored
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_id bigint := (select t.id from pgstate.thread t where t.key = p_key);
  v_head text := (select c.id from pgstate.checkpoint c where c.thread_id = v_id and c.ns = p_ns order by c.id desc limit 1);
  v_new text := pgstate._checkpoint_id(v_head);
  v_out pgstate._stored;
begin
  if v_new is null then
    perform pgstate._raise('PS007', p_key, pgstate._save_error('PS007', p_key));
  end if;
  insert into pgstate.checkpoint (thread_id, ns, id, parent, names, versions, types, data, header, whole, metadata, run_id, size, created_at,
                                  writer, via, agent_id)
  select c.thread_id, c.ns, v_new, case when c.whole then c.id else c.parent end, c.names, c.versions, c.types,
         c.data, c.header, c.whole, coalesce(p_metadata, jsonb_build_object('source', 'rollback', 'checkpoint', c.id)),
         p_metadata ->> 'run_id', b.bytes, p_now, p_actor.name, session_user, case when p_actor.quota then p_actor.id end
    from pgstate.checkpoint c
    cross join lateral (select coalesce(sum(octet_length(d)), 0) + coalesce(octet_length(c.header), 0) as bytes from unnest(c.data) d) b
   where c.thread_id = v_id and c.ns = p_ns and c.id = p_id
  returning id, size into v_out.id, v_out.bytes;
  if v_out.id is null then
    v_out.status := 'missing';
  end if;
  v_out.head := coalesce(v_out.id, v_head);
  v_out.added := 1;
  if p_actor.quota then
    perform pgstate._charge(0, pgstate._checkpoint_bytes(c), v_id) from pgstate.checkpoint c where c.thread_id = v_id and c.ns = p_ns and c.id = v_out.id;
  end if;
  return v_out;
end
$$;
comment on function pgstate._repeat_checkpoint(pgstate._actor, text, text, text, jsonb, timestamptz) is 'Internal: appends a copy of a checkpoint.';
