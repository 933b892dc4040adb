create function pgstate._filter_text(p_filter jsonb, p_at text, p_depth int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts text[] := '{}';
  v_field record;
  v_steps text[];
  v_filter jsonb;
  v_any text[];
  v_size int := 0;
begin
  if jsonb_typeof(p_filter) is distinct from 'object' or p_depth > 16 then
    raise exception using errcode = 'PS007', message = format('invalid filter: %s', pgstate._shown(p_filter::text)),
      hint = 'A filter is an object of fields and what they are, such as {"status": "open", "tries": {"$gt": 3}}, at most 16 deep.';
  end if;
  for v_field in select f.key as name, f.value as wanted, jsonb_typeof(f.value) as type from jsonb_each(p_filter) f loop
    if v_field.name in ('$and', '$or') and v_field.type = 'array' and v_field.wanted <> '[]' then
      v_any := '{}';
      for v_filter in select p from jsonb_array_elements(v_field.wanted) p loop
        v_any := v_any || pgstate._filter_text(v_filter, p_at, p_depth + 1);
        v_size := v_size + octet_length(v_any[cardinality(v_any)]);
        if v_size > 1048576 then
          perform pgstate._raise('PS007', null, 'the filter has too many $not, $ne and $nin within each other');
        end if;
      end loop;
      v_parts := v_parts || ('(' || array_to_string(v_any, case v_field.name when '$and' then ' && ' else ' || ' end) || ')');
    elsif v_field.name = '$not' and v_field.type = 'object' then
      v_parts := v_parts || pgstate._filter_not(pgstate._filter_text(v_field.wanted, p_at, p_depth + 1));
    elsif v_field.name like '$_%' then
      raise exception using errcode = 'PS007', message = format('invalid filter: %s', pgstate._shown(v_field.name)),
        hint = E'Beside fields a filter has $and, $or (arrays of filters) and $not (a filter); \\$name is a field whose name begins with a dollar.';
    else
      v_steps := pgstate._path_steps(v_field.name);
      if v_field.type = 'object' and exists (select from jsonb_object_keys(v_field.wanted) k where k like '$_%') then
        v_parts := v_parts || pgstate._filter_ops(p_at, v_steps, v_field.wanted, p_depth + 1);
      elsif v_field.type = 'object' and v_field.wanted <> '{}' then
        v_parts := v_parts || pgstate._filter_field(p_at, v_steps, pgstate._filter_text(v_field.wanted, '@', p_depth + 1));
      else
        v_parts := v_parts || pgstate._filter_field(p_at, v_steps, pgstate._filter_value(v_field.wanted, false));
      end if;
    end if;
  end loop;
  return case when v_parts = '{}' then '(1 == 1)' else '(' || array_to_string(v_parts, ' && ') || ')' end;
end
$$;
comment on function pgstate._filter_text(jsonb, text, int) is 'Internal: a filter as a predicate of a jsonpath. PS007.';
