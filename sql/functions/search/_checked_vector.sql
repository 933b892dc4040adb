-- The vector, if an index takes it: PS007.
create function pgstate._checked_vector(p_index pgstate.vector_index, p_model text, p_vector real[]) returns real[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  -- beyond these a square, or the sum of some, is no number that pgvector can hold, and the distance not one that can be compared
  v_most real := case p_index.type when 'halfvec' then 65504 else 1e16 end;
  v_least real := case p_index.type when 'halfvec' then 1e-7 else 1e-18 end;
begin
  if p_model <> p_index.model then
    raise exception using errcode = 'PS007', message = format('vector index %s holds vectors of model %s, not of %s', p_index.name, p_index.model, pgstate._shown(p_model)),
      hint = 'Vectors of two models cannot be compared: create_vectors() makes an index for the other one.';
  elsif coalesce(array_ndims(p_vector), 0) <> 1 or cardinality(p_vector) <> p_index.dims then
    raise exception using errcode = 'PS007', message = format('vector index %s has %s dimensions, the vector has %s', p_index.name, p_index.dims, cardinality(p_vector));
  elsif array_position(p_vector, null) is not null or p_vector && array['NaN', 'Infinity', '-Infinity']::real[] then
    raise exception using errcode = 'PS007', message = 'a vector holds finite numbers';
  elsif v_most < any (p_vector) or - v_most > any (p_vector) then
    raise exception using errcode = 'PS007', message = format('numbers of a %s are at most %s', p_index.type, v_most);
  elsif p_index.distance = 'cosine' and v_least > all (p_vector) and - v_least < all (p_vector) then
    raise exception using errcode = 'PS007', message = 'a vector of zeros, or nearly, has no direction, which cosine distance compares';
  end if;
  return p_vector;
end
$$;
comment on function pgstate._checked_vector(pgstate.vector_index, text, real[]) is 'Internal: a vector, if it fits an index. PS007.';
