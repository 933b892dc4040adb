-- A column of real[] and its distance as the index on it has them.
create function pgstate._vector_expression(p_index pgstate.vector_index, p_schema text, p_array text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return format('((%s)::%I.%I(%s))', p_array, p_schema, p_index.type, p_index.dims);
end
$$;
comment on function pgstate._vector_expression(pgstate.vector_index, text, text) is 'Internal: an array as pgvector''s type, in SQL.';
