-- Where pgvector is. Nothing of it is named anywhere but in statements that are put together with this.
create function pgstate._vector_schema() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_schema text := (select n.nspname from pg_extension x join pg_namespace n on n.oid = x.extnamespace where x.extname = 'vector');
begin
  if v_schema is null then
    raise exception using errcode = 'PS050', message = 'pgvector is not installed in this database',
      hint = 'Somebody with the right to (a superuser, or what a managed server has instead) runs: create extension vector; then create_vectors() again. Without it, search by text works.';
  elsif not has_schema_privilege(current_user, v_schema, 'usage') then
    raise exception using errcode = 'PS050', message = format('pgstate_owner may not use schema %I, where pgvector is', v_schema),
      hint = format('grant usage on schema %I to pgstate_owner', v_schema);
  end if;
  return v_schema;
end
$$;
comment on function pgstate._vector_schema() is 'Internal: the schema of pgvector. PS050 when it is not there.';
