create function pgstate._keys_of_runs(p_run_ids text[], p_ranges pgstate.keymultirange) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  return array(
    select distinct t.key
      from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id
     where c.run_id = any (p_run_ids) and p_ranges @> t.key order by t.key);
end
$$;
comment on function pgstate._keys_of_runs(text[], pgstate.keymultirange) is 'Internal: threads that hold checkpoints of runs.';
