-- 100,000 steps are about a second: a mebibyte of numbers is more than that only when each is checked many times over.
create function pgstate._schema_error(p_schema jsonb, p_value jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_schema is null then
    return null;
  end if;
  return (pgstate._schema_check(p_schema, p_schema, p_value, '', 0, 100000)).error;
end
$$;
comment on function pgstate._schema_error(jsonb, jsonb) is 'Internal: why a value does not fit a JSON Schema, naming the path and never the value; null when it fits.';
