-- A value and what was merged into it, operand by operand: what _reduce() gives when it is applied to each in turn. Operands
-- of one reducer are taken together, so that the time grows with their sizes and not with their number times the value's.
create function pgstate._fold(p_value jsonb, p_reducers text[], p_operands jsonb[]) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_hashjoin = on set enable_hashagg = on
as $$
declare
  v_value jsonb := p_value;
  v_reducer text;
  v_run jsonb[];
  v_start int := 1;
  v_last int := coalesce(cardinality(p_reducers), 0);
begin
  for v_index in 1 .. v_last loop
    continue when v_index < v_last and p_reducers[v_index + 1] = p_reducers[v_index];
    v_reducer := p_reducers[v_index];
    v_run := p_operands[v_start : v_index];
    if v_start = v_index then
      v_value := pgstate._reduce(v_reducer, v_value, v_run[1]);
    elsif v_reducer = 'merge' then
      v_value := v_value || coalesce((
        select jsonb_object_agg(f.key, f.value order by o.n)
          from unnest(v_run) with ordinality as o (operand, n) cross join lateral jsonb_each(o.operand) f), '{}');
    elsif v_reducer = 'deep_merge' then
      v_value := pgstate._fold_deep(v_value, v_run);
    elsif not exists (select from unnest(v_run) o where jsonb_typeof(o) = 'array') then
      -- most often each is one element: in a third of the time
      v_value := pgstate._reduce(v_reducer, v_value, to_jsonb(v_run));
    else
      v_value := pgstate._reduce(v_reducer, v_value, coalesce((
        select jsonb_agg(e.element order by o.n, e.n)
          from unnest(v_run) with ordinality as o (operand, n)
         cross join lateral jsonb_array_elements(case jsonb_typeof(o.operand) when 'array' then o.operand else jsonb_build_array(o.operand) end)
                    with ordinality as e (element, n)), '[]'));
    end if;
    v_start := v_index + 1;
  end loop;
  return v_value;
end
$$;
comment on function pgstate._fold(jsonb, text[], jsonb[]) is 'Internal: a value with operands merged into it in order.';
