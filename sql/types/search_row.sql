create type pgstate.search_row as (
  subtree text, fields text[], config text, vectors text, vector_fields text[], ready boolean, set_by text, set_at timestamptz
);
comment on type pgstate.search_row is 'What is indexed for search() on a key or subtree: fields and text search configuration, name of the vector index and what is embedded for it; ready: what was there before is indexed too.';
