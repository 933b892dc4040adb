create function pgstate._check_vector(p_index pgstate.vector_index, p_model text, p_vector real[]) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_model <> p_index.model then
    raise exception using errcode = 'PS007', message = format('vector index %s holds vectors of model %s, not of %s', p_index.name, p_index.model, pgstate._shown(p_model)),
      hint = 'Vectors of two models cannot be compared: create_vectors() makes an index for the other one.';
  elsif coalesce(array_ndims(p_vector), 0) <> 1 or cardinality(p_vector) <> p_index.dims then
    raise exception using errcode = 'PS007', message = format('vector index %s has %s dimensions, the vector has %s', p_index.name, p_index.dims, cardinality(p_vector));
  elsif array_position(p_vector, null) is not null or p_vector && array['NaN', 'Infinity', '-Infinity']::real[] then
    raise exception using errcode = 'PS007', message = 'a vector holds finite numbers';
  elsif p_index.distance = 'cosine' and 0 = all (p_vector) then
    raise exception using errcode = 'PS007', message = 'a vector of zeros has no direction, which cosine distance compares';
  end if;
end
$$;
comment on function pgstate._check_vector(pgstate.vector_index, text, real[]) is 'Internal: does a vector fit an index? PS007.';
