create function pgstate._vectors() returns setof pgstate.vectors_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select v.name, v.model, v.dims, v.distance, v.method, v.type, v.created_by, v.created_at from pgstate.vector_index v order by v.name;
end
$$;
comment on function pgstate._vectors() is 'Internal: the vector indexes.';
