-- The value of one version, whichever way it is stored.
create function pgstate._value_at(p_key text, p_version bigint) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_full bigint;
  v_value jsonb;
begin
  select v.version, v.value into v_full, v_value
    from pgstate.version v
   where v.key = p_key and v.version <= p_version and v.reducer is null order by v.version desc limit 1;
  if v_full = p_version then
    return v_value;
  end if;
  return pgstate._grown(p_key, v_value, v_full, p_version);
end
$$;
comment on function pgstate._value_at(text, bigint) is 'Internal: the value of a version.';
