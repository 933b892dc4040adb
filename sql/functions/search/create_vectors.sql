create function pgstate.create_vectors(
  name text, dims int, model text, distance text default 'cosine', method text default 'hnsw', type text default null,
  options jsonb default null, agent text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._create_vectors(pgstate._enter(create_vectors.agent), create_vectors.name, create_vectors.model, create_vectors.dims,
                                  create_vectors.distance, create_vectors.method, create_vectors.type, create_vectors.options);
end
$$;
comment on function pgstate.create_vectors(text, int, text, text, text, text, jsonb, text) is
  'Makes a vector index for set_search() to name. It holds vectors of one model (any name that tells models apart) and dims dimensions. distance: cosine, l2 or inner_product. method: hnsw (options m, ef_construction), ivfflat (lists; make it again when there are entries: reindex), or exact, without an index. type of the index: vector up to 2000 dimensions, halfvec up to 4000. Asked again with the same settings, restores the index that goes with the extension. Needs pgvector and admin on everything. PS007 PS010 PS050.';
