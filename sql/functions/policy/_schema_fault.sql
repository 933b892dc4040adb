-- What a schema that somebody defines may hold: keywords of JSON Schema 2020-12 that the database can check at a cost it
-- can bound, each in the form that _schema_check() relies on. What is outside is refused here, by name and path, because a
-- rule that is quietly not checked is worse than none. Regular expressions (pattern, patternProperties) are outside:
-- PostgreSQL's differ from ECMA's, and their cost cannot be bounded.
create function pgstate._schema_fault(p_root jsonb, p_schema jsonb, p_path text, p_depth int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_word text;
  v_rule jsonb;
  v_type text;
  v_name text;
  v_inner jsonb;
  v_inners jsonb;
  v_fault text;
begin
  if jsonb_typeof(p_schema) = 'boolean' then
    return null;
  elsif jsonb_typeof(p_schema) <> 'object' then
    return format('%s: a schema is an object, true or false', p_path);
  elsif p_depth > 40 then
    return format('%s: nested deeper than 40 levels', p_path);
  end if;
  for v_word, v_rule in select w.key, w.value from jsonb_each(p_schema) w order by w.key loop
    v_type := jsonb_typeof(v_rule);
    v_inners := '{}';
    if v_word in ('title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', 'format', 'discriminator',
                  'contentEncoding', 'contentMediaType', 'contentSchema', '$comment', '$schema') then
      -- says something to people and tools, and nothing about which values are valid
      continue;
    elsif v_word = '$id' then
      if p_path <> '#' then
        return format('%s: $id is supported at the top only', p_path);
      end if;
    elsif v_word = 'type' then
      if not (v_type = 'string' or v_type = 'array' and v_rule <> '[]')
         or exists (select from jsonb_array_elements(case v_type when 'array' then v_rule else jsonb_build_array(v_rule) end) t
                     where jsonb_typeof(t.value) <> 'string'
                        or t.value #>> '{}' not in ('object', 'array', 'string', 'number', 'integer', 'boolean', 'null')) then
        return format('%s/type: one or several of object, array, string, number, integer, boolean, null', p_path);
      end if;
    elsif v_word = 'enum' then
      if v_type <> 'array' then
        return format('%s/enum: a list of values', p_path);
      end if;
    elsif v_word = 'const' then
      null;
    elsif v_word in ('minItems', 'maxItems', 'minProperties', 'maxProperties', 'minLength', 'maxLength') then
      if v_type <> 'number' or v_rule::numeric not between 0 and 2147483647 or scale(trim_scale(v_rule::numeric)) > 0 then
        return format('%s/%s: a number of them, 0 or more', p_path, v_word);
      end if;
    elsif v_word in ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf') then
      if v_type <> 'number' or abs(v_rule::numeric) >= 1e400 or scale(v_rule::numeric) > 400
         or v_word = 'multipleOf' and v_rule::numeric <= 0 then
        return format('%s/%s: a number%s', p_path, v_word, case when v_word = 'multipleOf' then ' over 0' else '' end);
      end if;
    elsif v_word = 'uniqueItems' then
      if v_type <> 'boolean' then
        return format('%s/uniqueItems: true or false', p_path);
      end if;
    elsif v_word = 'required' then
      if v_type <> 'array' or exists (select from jsonb_array_elements(v_rule) r where jsonb_typeof(r.value) <> 'string') then
        return format('%s/required: a list of names', p_path);
      end if;
    elsif v_word = '$ref' then
      if v_type <> 'string' or not (v_rule #>> '{}' = '#' or v_rule #>> '{}' ~ E'^#/(\\$defs|definitions)/[^/%]+$'
                                    and pgstate._schema_ref(p_root, v_rule #>> '{}') is not null) then
        return format('%s/$ref: only # and what stands under $defs at the top, such as #/$defs/Name', p_path);
      end if;
    elsif v_word in ('additionalProperties', 'propertyNames', 'not') or v_word = 'items' and v_type <> 'array' then
      v_inners := jsonb_build_object('', v_rule);
    elsif v_word in ('properties', '$defs', 'definitions') then
      if v_type <> 'object' then
        return format('%s/%s: schemas by name', p_path, v_word);
      end if;
      v_inners := v_rule;
    elsif v_word in ('prefixItems', 'anyOf', 'allOf', 'oneOf') then
      if v_type <> 'array' or v_rule = '[]' then
        return format('%s/%s: a list of one or more schemas', p_path, v_word);
      end if;
      v_inners := (select jsonb_object_agg(e.ordinality - 1, e.value) from jsonb_array_elements(v_rule) with ordinality e);
    elsif v_word = 'items' then
      return format('%s/items: one schema for all items; one for each place is prefixItems', p_path);
    else
      return format('%s: the keyword %s is not supported', p_path, to_json(left(v_word, 60)));
    end if;
    for v_name, v_inner in select i.key, i.value from jsonb_each(v_inners) i order by i.key loop
      v_fault := pgstate._schema_fault(p_root, v_inner, p_path || '/' || v_word || case when v_name = '' then '' else '/' || left(v_name, 60) end,
                                       p_depth + 1);
      if v_fault is not null then
        return v_fault;
      end if;
    end loop;
  end loop;
  return null;
end
$$;
comment on function pgstate._schema_fault(jsonb, jsonb, text, int) is 'Internal: why a part of a schema cannot be checked here.';
