-- Of a thread that the caller may read: the latest, or one by its id. Null status: it is not there. An expression all the way
-- up, since every query on the way copies what it holds.
create function pgstate._get_checkpoint(p_key text, p_id text, p_ns text) returns pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
  v_checkpoint pgstate.checkpoint;
begin
  if p_id is null then
    select c.* into v_checkpoint from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns order by c.id desc limit 1;
  else
    select c.* into v_checkpoint from pgstate.checkpoint c where c.thread_id = v_thread.id and c.ns = p_ns and c.id = p_id;
  end if;
  if v_checkpoint.id is null then
    return row('missing', p_key, p_ns, p_id, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
               null, null, null, null)::pgstate.checkpoint_full;
  end if;
  return pgstate._full_checkpoint(p_key, v_thread.bases, v_checkpoint);
end
$$;
comment on function pgstate._get_checkpoint(text, text, text) is 'Internal: a checkpoint of a thread.';
