-- Arrays, not pgvector's type: the schema installs, dumps and restores without pgvector, whose indexes are on a cast.
create table pgstate.embedding (
  key text collate "C" not null,
  index_id int not null,
  chunk int not null,
  digest bytea not null,
  vector real[] not null,
  constraint embedding_pkey primary key (key, index_id, chunk),
  constraint embedding_index_fkey foreign key (index_id) references pgstate.vector_index (id)
);
-- floats do not compress
alter table pgstate.embedding alter column vector set storage external;
alter table pgstate.embedding enable row level security;
comment on table pgstate.embedding is 'Vectors of entries, as the application computed them.';
comment on column pgstate.embedding.key is 'The key.';
comment on column pgstate.embedding.index_id is 'The vector index.';
comment on column pgstate.embedding.vector is 'The vector.';
comment on column pgstate.embedding.chunk is 'Which of the entry''s texts, from 0.';
comment on column pgstate.embedding.digest is 'Of the texts that were embedded.';
