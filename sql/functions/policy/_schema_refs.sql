-- The $refs that a schema follows for one and the same value, without going into the value.
create function pgstate._schema_refs(p_schema jsonb) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_refs text[] := '{}';
  v_inner jsonb;
begin
  if jsonb_typeof(p_schema) <> 'object' then
    return v_refs;
  elsif p_schema ? '$ref' then
    v_refs := array[p_schema ->> '$ref'];
  end if;
  for v_inner in
    select p_schema -> 'not' where p_schema ? 'not'
    union all
    select e.value from unnest(array['anyOf', 'allOf', 'oneOf']) w, jsonb_array_elements(coalesce(p_schema -> w, '[]')) e
  loop
    v_refs := v_refs || pgstate._schema_refs(v_inner);
  end loop;
  return v_refs;
end
$$;
comment on function pgstate._schema_refs(jsonb) is 'Internal: the $refs that a schema applies to the value itself.';
