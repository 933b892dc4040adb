create function pgstate.set_vectors(keys text[], digests text[], chunks int[], "vectors" real[], model text, agent text default null)
returns setof pgstate.embedded
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(set_vectors.agent);
  v_count int := coalesce(cardinality(set_vectors.keys), 0);
begin
  if v_count = 0 then
    return;
  elsif v_count <> coalesce(cardinality(set_vectors.digests), 0) or v_count <> coalesce(cardinality(set_vectors.chunks), 0)
        or v_count <> coalesce(array_length(set_vectors."vectors", 1), 0) or array_ndims(set_vectors."vectors") <> 2
        or array_lower(set_vectors."vectors", 1) <> 1 or array_lower(set_vectors.keys, 1) <> 1 or array_ndims(set_vectors.keys) <> 1
        or set_vectors.model is null or array_position(set_vectors.keys, null) is not null then
    raise exception using errcode = 'PS007', message = 'keys, digests, chunks and vectors must be of equal length, and the model named';
  end if;
  return query
    select s.* from pgstate._set_vectors(v_actor, set_vectors.keys, set_vectors.digests, set_vectors.chunks, set_vectors."vectors", set_vectors.model) s;
end
$$;
comment on function pgstate.set_vectors(text[], text[], int[], real[], text, text) is
  'Stores vectors of entries as unembedded() listed them: a row of vectors for each text, chunk from 0, all texts of a key in one call. A row for each key: ok, stale (its text has changed meanwhile, or they are there already: nothing is stored), or denied. Needs read and write. PS007 PS010.';
