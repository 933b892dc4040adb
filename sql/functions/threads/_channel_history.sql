-- Up the chain of parents, from p_id (without it the latest), for each channel to the first that has a value of it. A row of
-- the walk that comes again ends it: parents may be made to go round. Rows come in the order of the walk.
create function pgstate._channel_history(p_key text, p_channels text[], p_id text, p_ns text) returns pgstate.channel_history
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
  v_ids text[];
  v_places bigint[];
  v_channels text[];
  v_out pgstate.channel_history;
begin
  with recursive walk (parent, id, wanted, left_over, names, types, data) as (
    (select c.parent::text, null::text collate "C", null::text[], p_channels, null::text[], null::text[], null::bytea[]
       from pgstate.checkpoint c
      where c.thread_id = v_thread.id and c.ns = p_ns
        and c.id = coalesce(p_id, (select max(y.id) from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = p_ns)))
    union
    select a.parent::text, a.id::text, w.left_over,
           array(select o from unnest(w.left_over) o where a.types[array_position(a.names, o)] is null), a.names, a.types, a.data
      from walk w
      -- OFFSET: by a look at the index, however many there are
      cross join lateral (
        select y.* from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = p_ns and y.id = w.parent offset 0) a
     where cardinality(w.left_over) > 0
  ), placed as (
    select row_number() over () as place, w.* from walk w
  ), ended as (
    select o as channel, p.types[array_position(p.names, o)] as type, p.data[array_position(p.names, o)] as data
      from placed p cross join lateral unnest(p.wanted) o where p.types[array_position(p.names, o)] is not null
  )
  select (select array_agg(e.channel) from ended e), (select array_agg(e.type) from ended e), (select array_agg(e.data) from ended e),
         array_agg(p.id), array_agg(p.place), array_agg(o)
    into v_out.seed_channels, v_out.seed_types, v_out.seed_data, v_ids, v_places, v_channels
    from placed p cross join lateral unnest(p.wanted) o;
  select k.hashes, k.types, k.data into v_out.chunk_hashes, v_out.chunk_types, v_out.chunk_data
    from pgstate._chunks(v_thread.bases || v_thread.id, v_out.seed_types, v_out.seed_data) k;
  select array_agg(w.channel), array_agg(w.task_id), array_agg(w.type), array_agg(w.data)
    into v_out.write_channels, v_out.write_task_ids, v_out.write_types, v_out.write_data
    from (select w.channel, w.task_id::text, w.type::text, w.data
            from unnest(v_ids, v_places, v_channels) a (id, place, channel)
            cross join lateral (
              select y.* from pgstate.pending_write y
               where y.thread_id = v_thread.id and y.ns = p_ns and y.checkpoint = a.id and y.channel = a.channel offset 0) w
           order by a.place desc, w.task_path, w.task_id, w.idx) w;
  return v_out;
end
$$;
comment on function pgstate._channel_history(text, text[], text, text) is 'Internal: what channels of a thread are made of.';
