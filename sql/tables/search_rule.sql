-- What is indexed for search. A rule that changes becomes another (its id), so that no document of the old one passes for
-- one of the new.
create sequence pgstate.search_rule_id_seq as int;

create table pgstate.search_rule (
  id int not null default pg_catalog.nextval('pgstate.search_rule_id_seq'),
  subtree text collate "C" not null,
  -- as in policy
  nearness int not null,
  ranges pgstate.keymultirange not null,
  salt text not null default pg_catalog.gen_random_uuid()::text,
  config text not null,
  fields text[] not null,
  vectors text collate "C",
  vector_fields text[],
  set_by text not null,
  set_at timestamptz not null default pg_catalog.now(),
  constraint search_rule_pkey primary key (subtree),
  constraint search_rule_id_key unique (id),
  constraint search_rule_vectors_fkey foreign key (vectors) references pgstate.vector_index (name)
);
alter sequence pgstate.search_rule_id_seq owned by pgstate.search_rule.id;
-- as in reach
alter table pgstate.search_rule alter column ranges set storage external;
alter table pgstate.search_rule enable row level security;
comment on table pgstate.search_rule is 'What search() has an index for: keys and subtrees, the nearest rule decides for a key.';
comment on column pgstate.search_rule.ranges is 'The keys of subtree.';
comment on column pgstate.search_rule.id is 'Number, which search_doc names.';
comment on column pgstate.search_rule.subtree is 'The key or subtree that it holds for.';
comment on column pgstate.search_rule.nearness is 'How near it is, as in policy. The highest decides.';
comment on column pgstate.search_rule.set_by is 'The agent that set it.';
comment on column pgstate.search_rule.set_at is 'When it was set.';
comment on sequence pgstate.search_rule_id_seq is 'Numbers of search_rule.';
comment on column pgstate.search_rule.salt is 'Known to nobody: see _mark_of().';
comment on column pgstate.search_rule.config is 'Text search configuration, by name: an oid would not survive a dump.';
comment on column pgstate.search_rule.fields is 'Paths into the value whose text is searched; $ is all of it.';
comment on column pgstate.search_rule.vectors is 'The vector index that entries are embedded for.';
comment on column pgstate.search_rule.vector_fields is 'Paths into the value, each match of which gets a vector.';
