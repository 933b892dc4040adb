-- Is @ this value (or does it contain it, as @> would)? As a predicate of a strict jsonpath, in which types that differ
-- never compare as equal.
create function pgstate._filter_value(p_operand jsonb, p_contains boolean) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[];
begin
  case jsonb_typeof(p_operand)
  when 'array' then
    if p_contains then
      v_parts := array(select 'exists(@[*] ? (' || pgstate._filter_value(x.item, true) || '))' from jsonb_array_elements(p_operand) x (item));
    else
      v_parts := array(
        select format('exists(@[%s] ? (%s))', x.ord - 1, pgstate._filter_value(x.item, false))
          from jsonb_array_elements(p_operand) with ordinality as x (item, ord) order by x.ord);
      v_parts := array['@.size() == ' || jsonb_array_length(p_operand)] || v_parts;
    end if;
    return '(' || array_to_string(array['@.type() == "array"'] || v_parts, ' && ') || ')';
  when 'object' then
    v_parts := array(
      select format('exists(@.%s ? (%s))', to_json(x.key), pgstate._filter_value(x.value, p_contains)) from jsonb_each(p_operand) x);
    if not p_contains then
      v_parts := v_parts || ('!(exists(@.keyvalue() ? (' || coalesce(
        (select string_agg('@.key != ' || to_json(k), ' && ') from jsonb_object_keys(p_operand) k), '1 == 1') || ')))');
    end if;
    return '(' || array_to_string(array['@.type() == "object"'] || v_parts, ' && ') || ')';
  else
    return '(@ == ' || p_operand::text || ')';
  end case;
end
$$;
comment on function pgstate._filter_value(jsonb, boolean) is 'Internal: a filter''s comparison with a value, as a predicate of a jsonpath.';
