-- Many deep_merges at once, in time that grows with their sizes: one after the other, each would copy the whole value. What
-- is deeper than p_depth levels was refused when it was merged (_operand_grows).
create function pgstate._fold_deep(p_value jsonb, p_operands jsonb[]) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_value jsonb := p_value;
  v_first int := 1;
begin
  -- what is no object replaces all before it, and is replaced by an object
  for v_index in reverse cardinality(p_operands) .. 1 loop
    if jsonb_typeof(p_operands[v_index]) <> 'object' then
      v_value := p_operands[v_index];
      v_first := v_index + 1;
      exit;
    end if;
  end loop;
  if v_first <= cardinality(p_operands) and jsonb_typeof(v_value) is distinct from 'object' then
    v_value := p_operands[v_first];
    v_first := v_first + 1;
  end if;
  if v_first > cardinality(p_operands) then
    return v_value;
  elsif v_first = cardinality(p_operands) then
    return pgstate._deep_merge(v_value, p_operands[v_first], 200);
  end if;
  -- detoasted once, and not for each key
  v_value := v_value || '{}';
  return v_value || coalesce((
    select jsonb_object_agg(g.key, case when cardinality(g.vals) = 1 and not v_value ? g.key then g.vals[1]
                                        else pgstate._fold_deep(v_value -> g.key, g.vals) end)
      from (select f.key, array_agg(f.value order by o.n) as vals
              from unnest(p_operands[v_first :]) with ordinality as o (operand, n) cross join lateral jsonb_each(o.operand) f
             group by f.key) g), '{}');
end
$$;
comment on function pgstate._fold_deep(jsonb, jsonb[]) is 'Internal: deep_merge of many operands, one after the other.';
