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
comment on column pgstate.vector_index.id is 'Number, which the vectors name.';
comment on column pgstate.vector_index.name is 'What search() and set_search() call it.';
comment on column pgstate.vector_index.dims is 'How many numbers a vector has.';
comment on column pgstate.vector_index.distance is 'cosine, l2 or inner_product.';
comment on column pgstate.vector_index.method is 'hnsw, ivfflat or exact.';
comment on column pgstate.vector_index.type is 'vector or halfvec.';
comment on column pgstate.vector_index.options is 'Options of the index.';
comment on column pgstate.vector_index.created_by is 'The agent that made it.';
comment on column pgstate.vector_index.created_at is 'When it was made.';
comment on sequence pgstate.vector_index_id_seq is 'Numbers of vector_index.';
comment on column pgstate.vector_index.model is 'Whose vectors these are: those of another model are refused.';
