create sequence pgstate.vector_index_id_seq as int;

create table pgstate.vector_index (
  id int not null default pg_catalog.nextval('pgstate.vector_index_id_seq'),
  name text collate "C" not null,
  model text not null,
  dims int not null,
  distance text not null,
  method text not null,
  type text not null,
  options jsonb not null,
  created_by text not null,
  created_at timestamptz not null default pg_catalog.now(),
  constraint vector_index_pkey primary key (name),
  constraint vector_index_id_key unique (id),
  constraint vector_index_name_form check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint vector_index_dims_range check (dims between 1 and 16000),
  constraint vector_index_distance_known check (distance in ('cosine', 'l2', 'inner_product')),
  constraint vector_index_method_known check (method in ('hnsw', 'ivfflat', 'exact')),
  constraint vector_index_type_known check (type in ('vector', 'halfvec'))
);
alter sequence pgstate.vector_index_id_seq owned by pgstate.vector_index.id;
alter table pgstate.vector_index enable row level security;
comment on table pgstate.vector_index is 'Vector indexes: each holds the vectors of one model.';
comment on column pgstate.vector_index.model is 'Whose vectors these are: those of another model are refused.';
