-- As _newest(), where a range holds many: planned for that range, so that a table of which it is most is read through. p_root is one more
-- key, or none. Without workers: where many search at once, each would wait for its own to start.
create function pgstate._newest_of_many(p_low text, p_high text, p_root text, p_regex text, p_path jsonpath, p_scalars jsonb, p_now timestamptz, p_limit int, p_offset int)
returns table (key text, place bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off set max_parallel_workers_per_gather = 0
set enable_seqscan = on set enable_bitmapscan = on set enable_sort = on
as $$
begin
  return query
    select f.key, row_number() over (order by f.updated_at desc, f.key) from (
      select n.key, n.updated_at from pgstate.entry n
       -- one condition on keys and none on rows, of which the planner would know no range. It stays before the look into the value only
       -- while it is not dearer: values of others, which may be large, are none of the caller's. What the caller compares them with is no
       -- constant here: the planner would try that on the values and keys that it has as statistics, of hidden ones too, and its estimate
       -- can be seen (debug_print_plan)
       where (n.key >= p_low and n.key < p_high or n.key = coalesce(p_root, p_low)) and (n.value @> (select p_scalars) or n.full_version - n.version < 0)
         and n.live and (n.expires_at is null or n.expires_at > p_now) and (p_regex is null or n.key ~ (select p_regex))
         and (p_path is null or case when n.full_version < n.version then pgstate._held_value(n) else n.value end @@ (select p_path))
       order by n.updated_at desc, n.key limit p_limit offset p_offset) f;
end
$$;
comment on function pgstate._newest_of_many(text, text, text, text, jsonpath, jsonb, timestamptz, int, int) is 'Internal: the entries of a large range that were written last.';
