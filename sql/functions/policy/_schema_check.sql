-- One schema against one value. The error names the path and the rule, never the value: names of properties that the schema
-- does not know are part of the value, so * stands for them. Depth and steps are bounded, because schemas branch and recur;
-- a check that is given up refuses the value. Relies on what _schema_fault() has let pass.
create function pgstate._schema_check(p_root jsonb, p_schema jsonb, p_value jsonb, p_path text, p_depth int, p_budget int)
returns pgstate._checked
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v pgstate._checked;
  v_word text;
  v_rule jsonb;
  v_type text;
  v_number numeric;
  v_count int;
  v_fits int := 0;
  v_name text;
  v_item jsonb;
  v_at bigint;
begin
  v.budget := p_budget - 1;
  if v.budget < 0 or p_depth > 100 then
    v.error := coalesce(nullif(p_path, ''), 'the value') || ': ' || case when p_depth > 100 then 'nested too deeply for its schema' else 'too much to check' end;
    v.budget := -1;
    return v;
  elsif jsonb_typeof(p_schema) = 'boolean' then
    if p_schema = 'false' then
      v.error := coalesce(nullif(p_path, ''), 'the value') || ': nothing is allowed here';
    end if;
    return v;
  end if;

  <<rules>>
  begin
    v_type := jsonb_typeof(p_value);
    v_rule := p_schema -> 'type';
    if v_rule is not null and not v_rule ? v_type
       and not (v_type = 'number' and v_rule ? 'integer' and scale(trim_scale(p_value::numeric)) = 0) then
      v_word := 'type';
      exit rules;
    end if;
    if p_schema ? 'const' and p_schema -> 'const' <> p_value then
      v_word := 'const';
      exit rules;
    end if;
    v_rule := p_schema -> 'enum';
    if v_rule is not null then
      v.budget := v.budget - jsonb_array_length(v_rule) / 50;
      if v_type in ('object', 'array') and not exists (select from jsonb_array_elements(v_rule) e where e.value = p_value)
         or v_type not in ('object', 'array') and not v_rule @> jsonb_build_array(p_value) then
        v_word := 'enum';
        exit rules;
      end if;
    end if;

    if v_type = 'number' then
      if p_schema ?| array['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'] then
        v_number := p_value::numeric;
        if v_number < (p_schema -> 'minimum')::numeric then
          v_word := 'minimum';
        elsif v_number > (p_schema -> 'maximum')::numeric then
          v_word := 'maximum';
        elsif v_number <= (p_schema -> 'exclusiveMinimum')::numeric then
          v_word := 'exclusiveMinimum';
        elsif v_number >= (p_schema -> 'exclusiveMaximum')::numeric then
          v_word := 'exclusiveMaximum';
        elsif p_schema ? 'multipleOf' then
          -- beyond every float division takes its time
          if abs(v_number) >= 1e400 or scale(v_number) > 400 or v_number % (p_schema -> 'multipleOf')::numeric <> 0 then
            v_word := 'multipleOf';
          end if;
        end if;
        exit rules when v_word is not null;
      end if;
    elsif v_type = 'string' then
      if p_schema ?| array['minLength', 'maxLength'] then
        v_count := length(p_value #>> '{}');
        if v_count < (p_schema -> 'minLength')::int then
          v_word := 'minLength';
          exit rules;
        elsif v_count > (p_schema -> 'maxLength')::int then
          v_word := 'maxLength';
          exit rules;
        end if;
      end if;
    elsif v_type = 'array' then
      v_count := jsonb_array_length(p_value);
      if v_count < (p_schema -> 'minItems')::int then
        v_word := 'minItems';
        exit rules;
      elsif v_count > (p_schema -> 'maxItems')::int then
        v_word := 'maxItems';
        exit rules;
      elsif p_schema -> 'uniqueItems' = 'true' then
        v.budget := v.budget - v_count / 10;
        if (select count(distinct e.value) from jsonb_array_elements(p_value) e) < v_count then
          v_word := 'uniqueItems';
          exit rules;
        end if;
      end if;
      if p_schema ?| array['items', 'prefixItems'] then
        for v_item, v_at in select e.value, e.ordinality - 1 from jsonb_array_elements(p_value) with ordinality e loop
          v_rule := coalesce(p_schema -> 'prefixItems' -> v_at::int, p_schema -> 'items');
          exit when v_rule is null;
          v := pgstate._schema_check(p_root, v_rule, v_item, p_path || '/' || v_at, p_depth + 1, v.budget);
          if v.error is not null then
            return v;
          end if;
        end loop;
      end if;
    elsif v_type = 'object' then
      if p_schema ?| array['minProperties', 'maxProperties'] then
        v_count := (select count(*) from jsonb_object_keys(p_value));
        if v_count < (p_schema -> 'minProperties')::int then
          v_word := 'minProperties';
          exit rules;
        elsif v_count > (p_schema -> 'maxProperties')::int then
          v_word := 'maxProperties';
          exit rules;
        end if;
      end if;
      v_rule := p_schema -> 'required';
      if v_rule is not null then
        v.budget := v.budget - jsonb_array_length(v_rule) / 20;
        v_name := (select r from jsonb_array_elements_text(v_rule) r where not p_value ? r limit 1);
        if v_name is not null then
          v.error := coalesce(nullif(p_path, ''), 'the value') || ': ' || to_json(left(v_name, 60)) || ' is required';
          return v;
        end if;
      end if;
      if p_schema ?| array['properties', 'additionalProperties', 'propertyNames'] then
        for v_name, v_item in select m.key, m.value from jsonb_each(p_value) m loop
          if p_schema ? 'propertyNames' then
            v := pgstate._schema_check(p_root, p_schema -> 'propertyNames', to_jsonb(v_name), p_path || '/*', p_depth + 1, v.budget);
            if v.error is not null then
              return v;
            end if;
          end if;
          v_rule := p_schema -> 'properties' -> v_name;
          if v_rule is null then
            v_rule := p_schema -> 'additionalProperties';
            v_name := '*';
          end if;
          if v_rule is not null then
            v := pgstate._schema_check(p_root, v_rule, v_item, p_path || '/' || left(v_name, 60), p_depth + 1, v.budget);
            if v.error is not null then
              return v;
            end if;
          end if;
        end loop;
      end if;
    end if;

    if p_schema ? '$ref' then
      v := pgstate._schema_check(p_root, pgstate._schema_ref(p_root, p_schema ->> '$ref'), p_value, p_path, p_depth + 1, v.budget);
      if v.error is not null then
        return v;
      end if;
    end if;
    if p_schema ?| array['allOf', 'anyOf', 'oneOf', 'not'] then
      v_rule := p_schema -> 'allOf';
      for v_at in 0 .. coalesce(jsonb_array_length(v_rule), 0) - 1 loop
        v := pgstate._schema_check(p_root, v_rule -> v_at::int, p_value, p_path, p_depth + 1, v.budget);
        if v.error is not null then
          return v;
        end if;
      end loop;
      foreach v_word in array array['anyOf', 'oneOf', 'not'] loop
        continue when not p_schema ? v_word;
        v_rule := case v_word when 'not' then jsonb_build_array(p_schema -> 'not') else p_schema -> v_word end;
        v_fits := 0;
        for v_at in 0 .. jsonb_array_length(v_rule) - 1 loop
          v := pgstate._schema_check(p_root, v_rule -> v_at::int, p_value, p_path, p_depth + 1, v.budget);
          if v.budget < 0 then
            return v;
          elsif v.error is null then
            v_fits := v_fits + 1;
            exit when v_word <> 'oneOf' or v_fits = 2;
          end if;
        end loop;
        v.error := null;
        exit rules when v_word = 'anyOf' and v_fits = 0 or v_word = 'oneOf' and v_fits <> 1 or v_word = 'not' and v_fits = 1;
      end loop;
      v_word := null;
    end if;
  end rules;

  if v_word is not null then
    v.error := coalesce(nullif(p_path, ''), 'the value') || case v_word
      when 'anyOf' then ': fits none of anyOf'
      when 'oneOf' then case when v_fits = 0 then ': fits none of oneOf' else ': fits more than one of oneOf' end
      when 'not' then ': fits what not excludes'
      else ': violates ' || v_word || ' ' || left((p_schema -> v_word)::text, 80) end;
  elsif v.budget < 0 then
    v.error := coalesce(nullif(p_path, ''), 'the value') || ': too much to check';
    v.budget := -1;
  end if;
  return v;
end
$$;
comment on function pgstate._schema_check(jsonb, jsonb, jsonb, text, int, int) is 'Internal: checks one part of a value.';
