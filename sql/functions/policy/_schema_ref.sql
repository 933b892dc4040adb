create function pgstate._schema_ref(p_root jsonb, p_ref text) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_ref = '#' then
    return p_root;
  end if;
  return p_root -> split_part(p_ref, '/', 2) -> replace(replace(split_part(p_ref, '/', 3), '~1', '/'), '~0', '~');
end
$$;
comment on function pgstate._schema_ref(jsonb, text) is 'Internal: the part of a schema that a $ref names, null when there is none.';
