-- Where the index for search is not what the rules say: until it is built there, search reads the values.
create table pgstate.search_build (
  subtree text collate "C" not null,
  after text collate "C" not null default '',
  barrier xid8,
  asked_at timestamptz not null default pg_catalog.now(),
  constraint search_build_pkey primary key (subtree)
);
alter table pgstate.search_build enable row level security;
comment on table pgstate.search_build is 'Keys and subtrees whose rule for search has changed, and the key up to which they have been indexed since.';
comment on column pgstate.search_build.subtree is 'The key or subtree.';
comment on column pgstate.search_build.after is 'Keys up to this one are indexed.';
comment on column pgstate.search_build.asked_at is 'When its rule changed.';
comment on column pgstate.search_build.barrier is 'Transactions below this id may have written by the rules of before: building begins when they have ended.';
