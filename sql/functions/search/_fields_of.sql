-- What paths select from a value, as one jsonb array, strings of a value that is wanted whole included.
create function pgstate._fields_of(p_value jsonb, p_fields text[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_found jsonb := '[]';
  v_field text;
begin
  if p_fields = array['$'] then
    return jsonb_build_array(p_value);
  end if;
  foreach v_field in array p_fields loop
    v_found := v_found || jsonb_path_query_array(p_value, ('strict $' || array_to_string(pgstate._path_steps(v_field), ''))::jsonpath, '{}', true);
  end loop;
  return v_found;
end
$$;
comment on function pgstate._fields_of(jsonb, text[]) is 'Internal: what paths select from a value.';
