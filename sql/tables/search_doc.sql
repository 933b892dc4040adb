-- The index for search: a row for each live key under a rule, written with the key, in the same transaction.
--
-- One index for all would tell an agent by the time and the buffers that a search takes which words occur in hidden entries. So
-- a word is indexed once for each directory above the key, marked with it, and a search asks for the words of directories
-- that the agent may read as a whole: what it touches lies within its grants, and a small subtree is found beside a large one.
create table pgstate.search_doc (
  key text collate "C" not null,
  rule_id int not null,
  version bigint not null,
  words tsvector not null,
  scoped tsvector not null,
  digest bytea,
  constraint search_doc_pkey primary key (key)
);
create index search_doc_scoped_idx on pgstate.search_doc using gin (scoped);
alter table pgstate.search_doc enable row level security;
comment on table pgstate.search_doc is 'The words of entries under a rule for search.';
comment on column pgstate.search_doc.key is 'The key.';
comment on column pgstate.search_doc.rule_id is 'The rule that it was indexed by.';
comment on column pgstate.search_doc.words is 'The words.';
comment on column pgstate.search_doc.version is 'The version of the entry that this is of: another one is not found by it.';
comment on column pgstate.search_doc.scoped is 'The words, each marked with each directory above the key, up to the rule''s.';
comment on column pgstate.search_doc.digest is 'Of what is to be embedded; vectors with another one are not used.';
