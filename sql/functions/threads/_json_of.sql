-- Null for what jsonb cannot hold: U+0000, lone surrogates, NaN.
create function pgstate._json_of(p_data bytea) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return convert_from(p_data, 'UTF8')::jsonb;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;
comment on function pgstate._json_of(bytea) is 'Internal: the value of a JSON text, if Postgres can hold it.';
