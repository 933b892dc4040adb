-- As _grown(), of which row-level security would hide operands from who writes or indexes for others.
create function pgstate._held_value(p_entry pgstate.entry) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_reducers text[];
  v_operands jsonb[];
begin
  if (p_entry.full_version < p_entry.version) is not true then
    return p_entry.value;
  end if;
  select array_agg(t.reducer), array_agg(t.value) into v_reducers, v_operands
    from (select v.reducer, v.value from pgstate.version v
           where v.key = p_entry.key and v.version > p_entry.full_version and v.version <= p_entry.version order by v.version) t;
  return pgstate._fold(p_entry.value, v_reducers, v_operands);
end
$$;
comment on function pgstate._held_value(pgstate.entry) is 'Internal: the value of an entry, with operands behind its full value folded in.';
