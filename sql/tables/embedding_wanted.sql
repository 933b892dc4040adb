-- Apart from search_doc, where a change of an indexed column would write all its words anew.
create table pgstate.embedding_wanted (
  key text collate "C" not null,
  digest bytea not null,
  constraint embedding_wanted_pkey primary key (key)
);
alter table pgstate.embedding_wanted enable row level security;
comment on table pgstate.embedding_wanted is 'Entries whose vectors have not come yet.';
comment on column pgstate.embedding_wanted.key is 'The key.';
comment on column pgstate.embedding_wanted.digest is 'Of the texts to be embedded.';
