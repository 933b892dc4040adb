create function pgstate._drop_thread(p_key text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint := (select t.id from pgstate.thread t where t.key = p_key);
begin
  perform pgstate._detach_threads(array[p_key]);
  -- the rest is maintain()'s
  perform pgstate._collect_thread(v_id, 10000, 1000);
end
$$;
comment on function pgstate._drop_thread(text) is 'Internal: removes a thread whose entry was deleted.';
