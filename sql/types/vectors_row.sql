create type pgstate.vectors_row as (
  name text, model text, dims int, distance text, method text, type text, created_by text, created_at timestamptz
);
comment on type pgstate.vectors_row is 'A vector index: the model whose vectors it holds, their dimensions, the distance (cosine, l2, inner_product), method (hnsw, ivfflat, exact) and type (vector, halfvec) of the index.';
