-- The value of an entry that has operands behind its full value.
create function pgstate._grown(p_key text, p_value jsonb, p_full_version bigint, p_version bigint) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_reducers text[];
  v_operands jsonb[];
begin
  select array_agg(t.reducer), array_agg(t.value) into v_reducers, v_operands
    from (select v.reducer, v.value from pgstate.version v
           where v.key = p_key and v.version > p_full_version and v.version <= p_version order by v.version) t;
  return pgstate._fold(p_value, v_reducers, v_operands);
end
$$;
comment on function pgstate._grown(text, jsonb, bigint, bigint) is 'Internal: a full value with the operands of later versions.';
