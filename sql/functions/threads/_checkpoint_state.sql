create function pgstate._checkpoint_state(p_key text, p_id text, p_ns text) returns setof pgstate.channel_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_thread pgstate.thread := pgstate._live_thread(p_key);
begin
  return query
    select v.*
      from (select x.* from pgstate.checkpoint x
             where x.thread_id = v_thread.id and x.ns = p_ns
               and x.id = coalesce(p_id, (select max(y.id) from pgstate.checkpoint y where y.thread_id = v_thread.id and y.ns = p_ns))) c
      cross join lateral unnest(c.names, c.versions, c.types, c.data) with ordinality u (name, version, type, data, ord)
      cross join lateral pgstate._channel_value(v_thread.bases || v_thread.id, u.name, u.version, u.type, u.data) v
     order by u.ord;
end
$$;
comment on function pgstate._checkpoint_state(text, text, text) is 'Internal: the channels of a checkpoint.';
