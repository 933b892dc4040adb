-- Makes a thread of another's checkpoints, whose chunks it then reads: nothing is copied but their roots. Too long a line of
-- forks would make reading slow, so the chunks are copied then. The target's entry is locked by the caller; the other thread
-- is locked against being deleted or pruned until the fork is there to be seen: see _collect_thread().
create function pgstate._fork_thread(
  p_key text, p_target text, p_id text, p_ns text, p_history boolean, p_now timestamptz, p_payer int
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_source pgstate.thread := pgstate._live_thread(p_key);
  v_id bigint;
  v_from text;
begin
  perform from pgstate.thread t where t.id = v_source.id and t.key = p_key for share;
  if not found then
    return null;
  end if;
  v_from := coalesce(p_id, (select c.id from pgstate.checkpoint c where c.thread_id = v_source.id and c.ns = p_ns order by c.id desc limit 1));
  if not p_history and not exists (select from pgstate.checkpoint c where c.thread_id = v_source.id and c.ns = p_ns and c.id = v_from) then
    return null;
  end if;
  insert into pgstate.thread as t (key, bases, begun_at, pruned, forked_from, forked_id)
  values (p_target, v_source.bases || v_source.id, p_now, v_source.pruned and p_history, p_key, case when not p_history then v_from end)
      on conflict on constraint thread_key_key do update
     set bases = excluded.bases, begun_at = excluded.begun_at, pruned = excluded.pruned, forked_from = excluded.forked_from,
         forked_id = excluded.forked_id, collect_at = null
  returning t.id into v_id;
  -- of saves that were never complete: a page among them would reach what the other thread holds
  delete from pgstate.chunk k where k.thread_id = v_id;
  with recursive line (id, parent, wanted) as (
    select c.id, c.parent, case when c.whole then '{}' else pgstate._wanted_channels(c.names, c.types, c.names) end
      from pgstate.checkpoint c
     where not p_history and c.thread_id = v_source.id and c.ns = p_ns and c.id = v_from
    union
    select c.id, c.parent, pgstate._wanted_channels(c.names, c.types, l.wanted)
      from line l
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_source.id and y.ns = p_ns and y.id = l.parent offset 0) c
     where l.wanted <> '{}'
  ), copied as (
    insert into pgstate.checkpoint (thread_id, ns, id, parent, names, versions, types, data, header, whole, metadata, run_id, size, created_at,
                                    writer, via, agent_id)
    select v_id, c.ns, c.id, case when p_history or exists (select from line l where l.id = c.parent) then c.parent end, c.names, c.versions,
           c.types, c.data, c.header, c.whole, c.metadata, c.run_id, c.size, c.created_at, c.writer, c.via, p_payer
      from (
        -- OFFSET: each by a look at the index, however many there are
        select x.* from (select distinct l.id from line l) l
         cross join lateral (
           select y.* from pgstate.checkpoint y where y.thread_id = v_source.id and y.ns = p_ns and y.id = l.id offset 0) x
        union all
        select x.* from pgstate.checkpoint x where p_history and x.thread_id = v_source.id
      ) c
    returning ns, id
  )
  insert into pgstate.pending_write (thread_id, ns, checkpoint, task_id, idx, task_path, channel, type, data, agent_id, writer, written_at)
  select v_id, w.ns, w.checkpoint, w.task_id, w.idx, w.task_path, w.channel, w.type, w.data, p_payer, w.writer, w.written_at
    from copied c
    cross join lateral (
      select x.* from pgstate.pending_write x where x.thread_id = v_source.id and x.ns = c.ns and x.checkpoint = c.id offset 0) w
      on conflict on constraint pending_write_pkey do nothing;
  if cardinality(v_source.bases) >= 7 then
    with recursive reached (hash) as (
      select pgstate._refs(c.types, c.data) from pgstate.checkpoint c where c.thread_id = v_id
      union
      select pgstate._refs(array[k.type], array[k.data])
        from reached r
        cross join lateral (
          select x.* from pgstate.chunk x where x.thread_id = any (v_source.bases || v_source.id) and x.hash = r.hash offset 0) k
       where k.type ^@ '#'
    )
    insert into pgstate.chunk (thread_id, hash, type, data, agent_id)
    select v_id, k.hash, k.type, k.data, p_payer
      from reached r
      cross join lateral (select x.* from pgstate.chunk x where x.thread_id = any (v_source.bases || v_source.id) and x.hash = r.hash limit 1) k
        on conflict on constraint chunk_pkey do nothing;
    update pgstate.thread t set bases = '{}' where t.id = v_id;
  end if;
  if p_payer is not null then
    -- what it holds itself: the roots, and the writes after them
    perform pgstate._charge(0, ((select coalesce(sum(pgstate._checkpoint_bytes(c)), 0) from pgstate.checkpoint c where c.thread_id = v_id)
      + (select coalesce(sum(pg_column_size(w.data)), 0) from pgstate.pending_write w where w.thread_id = v_id)
      + (select coalesce(sum(pg_column_size(k.data)), 0) from pgstate.chunk k where k.thread_id = v_id))::bigint, v_id);
  end if;
  return pgstate._thread_value(v_id) || case when p_history then '{}' else jsonb_build_object('checkpoint', v_from, 'ns', p_ns) end;
end
$$;
comment on function pgstate._fork_thread(text, text, text, text, boolean, timestamptz, int) is 'Internal: makes a thread of another''s checkpoints.';
