-- Null when p_depth levels do not suffice, so that nobody's nesting can end a batch of others with a stack overflow.
create function pgstate._deep_merge(p_current jsonb, p_operand jsonb, p_depth int) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
  v_merged jsonb;
  v_too_deep boolean;
begin
  if jsonb_typeof(p_current) <> 'object' or jsonb_typeof(p_operand) <> 'object' then
    return p_operand;
  elsif p_depth = 0 then
    return null;
  end if;
  select jsonb_object_agg(o.key, o.merged), bool_or(o.merged is null) into v_merged, v_too_deep
    from (select f.key, case when p_current ? f.key then pgstate._deep_merge(p_current -> f.key, f.value, p_depth - 1)
                             else f.value end as merged
            from jsonb_each(p_operand) f
          -- kept apart: pulled up, each level would be computed for both uses, and 200 levels never
          offset 0) o;
  return case when v_too_deep then null else p_current || coalesce(v_merged, '{}') end;
end
$$;
comment on function pgstate._deep_merge(jsonb, jsonb, int) is 'Internal: objects merged at every level; anything else is replaced by the operand.';
