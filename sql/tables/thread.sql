-- A recorded execution. Its head is an entry of kind thread under the same key, which grants, the feed, claims and times to
-- live go by; a save locks that entry first. A thread that was deleted or has expired has lost its key, and what it held
-- is removed afterwards. One that has not begun yet (begun_at is null) has only writes whose checkpoint is still to come.
create sequence pgstate.thread_id_seq;

create table pgstate.thread (
  id bigint not null default pg_catalog.nextval('pgstate.thread_id_seq'),
  key text collate "C",
  bases bigint[] not null default '{}',
  begun_at timestamptz,
  pruned boolean not null default false,
  forked_from text collate "C",
  forked_id text collate "C",
  collect_at timestamptz,
  constraint thread_pkey primary key (id),
  constraint thread_key_key unique (key)
);
alter sequence pgstate.thread_id_seq owned by pgstate.thread.id;
-- looked at by whoever collects, and written by forks alone
create index thread_bases_idx on pgstate.thread using gin (bases) with (fastupdate = off) where bases <> '{}';
create index thread_collect_idx on pgstate.thread (collect_at) where collect_at is not null;
alter table pgstate.thread enable row level security;
comment on table pgstate.thread is 'Threads: recorded executions. Read the view threads.';
comment on column pgstate.thread.id is 'Number, never given again; checkpoints and chunks name it.';
comment on column pgstate.thread.key is 'The entry that is its head; null once that was deleted or has expired.';
comment on column pgstate.thread.bases is 'Threads that it was forked from, whose chunks its checkpoints may refer to.';
comment on column pgstate.thread.begun_at is 'When it was first saved to; null while there are only writes.';
comment on column pgstate.thread.pruned is 'Were checkpoints removed? Then the parent of one may be gone.';
comment on column pgstate.thread.forked_from is 'The key of the thread that it was forked from.';
comment on column pgstate.thread.forked_id is 'The checkpoint that it was forked from; null for a copy of all.';
comment on column pgstate.thread.collect_at is 'When maintain() is to look for what it does not need any more; null for not.';
comment on sequence pgstate.thread_id_seq is 'Numbers of threads.';
