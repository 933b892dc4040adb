-- Has pages and roots name the chunks that were sealed anew. A page is named by its hash too: there is a new one then, as in _rekey_data().
-- Locks a thread as a save does, which so never finds half of it.
create function pgstate._rekey_refs(p_actor pgstate._actor, p_depth int, p_first bigint, p_blocks int) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_range record := pgstate._sealed_blocks(p_actor, 'chunk', p_first, p_blocks);
  v_first tid := v_range.first;
  v_end tid := v_range."end";
  v_type text := '#' || p_depth;
  v_places tid[];
  v_threads bigint[];
  v_count bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' or p_depth < 0 then
    raise exception using errcode = 'PS007', message = 'references are replaced under READ COMMITTED only; a depth is 0 or more';
  elsif v_type is not null then
    if not exists (select from pgstate.chunk k where k.ctid >= v_first and k.ctid < v_end and k.type = v_type) then
      return null;
    end if;
    select array_agg(k.ctid), array_agg(distinct k.thread_id) into v_places, v_threads
      from pgstate.chunk k join pgstate.thread t on t.id = k.thread_id
     where k.ctid >= v_first and k.ctid < v_end and k.type = v_type
       and pgstate._moved_refs(t.bases || t.id, k.type, k.data) <> k.data
       and coalesce(pgstate._moved(array[k.thread_id], k.hash) <> substr(sha256(
             convert_to(k.type, 'UTF8') || E'\\x00'::bytea || pgstate._moved_refs(t.bases || t.id, k.type, k.data)), 1, 16), true);
    v_threads := pgstate._rekey_lock(v_threads);
    with given as materialized (
      select k.thread_id, k.hash as old, k.type, k.agent_id, m.data, substr(sha256(convert_to(k.type, 'UTF8') || E'\\x00'::bytea || m.data), 1, 16) as hash
        from pgstate.chunk k join pgstate.thread t on t.id = k.thread_id
        cross join lateral (select pgstate._moved_refs(t.bases || t.id, k.type, k.data) as data) m
       where k.ctid = any (v_places) and k.thread_id = any (v_threads) and m.data <> k.data
    ), added as (
      insert into pgstate.chunk as k (thread_id, hash, type, data, agent_id)
      select distinct on (g.thread_id, g.hash) g.thread_id, g.hash, g.type, g.data, g.agent_id from given g
          on conflict on constraint chunk_pkey do update set moved_to = null where k.moved_to is not null
    )
    update pgstate.chunk k set moved_to = g.hash from given g where k.thread_id = g.thread_id and k.hash = g.old;
  else
    select array_agg(c.ctid), array_agg(distinct c.thread_id) into v_places, v_threads
      from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id
     where c.ctid >= v_first and c.ctid < v_end
       and exists (select from unnest(c.types, c.data) u (type, data) where pgstate._moved_refs(t.bases || t.id, u.type, u.data) <> u.data);
    v_threads := pgstate._rekey_lock(v_threads);
    update pgstate.checkpoint c
       set data = array(select pgstate._moved_refs(t.bases || t.id, u.type, u.data)
                          from unnest(c.types, c.data) with ordinality u (type, data, ord) order by u.ord)
      from pgstate.thread t
     where t.id = c.thread_id and c.thread_id = any (v_threads)
       and c.ctid = any (array(select x.ctid from pgstate.checkpoint x where x.ctid = any (v_places) and x.thread_id = any (v_threads) for no key update skip locked));
  end if;
  get diagnostics v_count = row_count;
  if v_count > 0 then
    perform pgstate._rekey_garbage(v_threads);
  end if;
  return v_count;
end
$$;
comment on function pgstate._rekey_refs(pgstate._actor, int, bigint, int) is 'Internal: has pages and roots name the chunks that were sealed anew. PS007 PS010.';
