-- The operators that a filter has for one field.
create function pgstate._filter_ops(p_at text, p_steps text[], p_ops jsonb, p_depth int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[] := '{}';
  v_op record;
  v_one text;
begin
  for v_op in select o.key as name, o.value as operand, jsonb_typeof(o.value) as type from jsonb_each(p_ops) o loop
    if v_op.name in ('$eq', '$ne', '$contains') then
      v_one := pgstate._filter_value(v_op.operand, v_op.name = '$contains');
      if v_op.name = '$contains' and v_op.type not in ('array', 'object') then
        -- @> has an array contain a scalar that is one of its elements, at the top only
        v_one := format('(%s || @.type() == "array" && exists(@[*] ? (%s)))', v_one, v_one);
      end if;
      v_one := pgstate._filter_field(p_at, p_steps, v_one);
    elsif v_op.name in ('$gt', '$gte', '$lt', '$lte') and v_op.type in ('number', 'string') then
      v_one := pgstate._filter_field(p_at, p_steps, '@ ' || case v_op.name when '$gt' then '>' when '$gte' then '>=' when '$lt' then '<' else '<=' end
                                                       || ' ' || v_op.operand::text);
    elsif v_op.name in ('$in', '$nin') and v_op.type = 'array' then
      v_one := pgstate._filter_field(p_at, p_steps, coalesce(
        (select string_agg(pgstate._filter_value(i, false), ' || ') from jsonb_array_elements(v_op.operand) i), '1 == 0'));
    elsif v_op.name = '$exists' and v_op.type = 'boolean' then
      v_one := pgstate._filter_field(p_at, p_steps, '1 == 1');
    elsif v_op.name = '$not' and v_op.type = 'object' and p_depth < 16 then
      v_one := pgstate._filter_ops(p_at, p_steps, v_op.operand, p_depth + 1);
    else
      raise exception using errcode = 'PS007', message = format('invalid filter: %s with %s', pgstate._shown(v_op.name), pgstate._shown(v_op.operand::text)),
        hint = 'A field takes $eq, $ne, $gt, $gte, $lt, $lte (a number or a string), $in, $nin (an array), $exists (true or false), $contains and $not (operators).';
    end if;
    v_parts := v_parts || case when v_op.name in ('$ne', '$nin', '$not') or v_op.name = '$exists' and v_op.operand = 'false'
                               then pgstate._filter_not(v_one) else v_one end;
  end loop;
  return case when v_parts = '{}' then '(1 == 1)' else '(' || array_to_string(v_parts, ' && ') || ')' end;
end
$$;
comment on function pgstate._filter_ops(text, text[], jsonb, int) is 'Internal: a filter''s operators on one field, as a predicate of a jsonpath. PS007.';
