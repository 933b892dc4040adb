create function pgstate._current_value(p_key text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  return (select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end
            from pgstate.entry e where e.key = p_key);
end
$$;
comment on function pgstate._current_value(text) is 'Internal: the value of an entry that the caller has locked.';
