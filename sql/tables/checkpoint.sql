-- A point of a thread: its root, which holds small values and names the chunks of the others. Of channel names[i], types[i]
-- and data[i] are a value of a serializer's type; or @ and the hash of a chunk; or # with a depth, and the hashes of the chunks
-- of a list (depth 0) or of pages of them, each of a depth less; or null, when the channel has a version and no value.
create table pgstate.checkpoint (
  thread_id bigint not null,
  ns text collate "C" not null,
  id text collate "C" not null,
  parent text collate "C",
  names text[] not null,
  versions text[],
  types text[] not null,
  data bytea[] not null,
  header bytea,
  whole boolean not null,
  metadata jsonb,
  run_id text collate "C",
  size bigint not null,
  created_at timestamptz not null,
  writer text not null,
  via text not null,
  agent_id int,
  constraint checkpoint_pkey primary key (thread_id, ns, id)
);
create index checkpoint_run_idx on pgstate.checkpoint (run_id) where run_id is not null;
alter table pgstate.checkpoint enable row level security;
comment on table pgstate.checkpoint is 'Checkpoints: points of threads. Read the view checkpoints, and checkpoint_state() for the values.';
comment on column pgstate.checkpoint.thread_id is 'The thread.';
comment on column pgstate.checkpoint.ns is 'The namespace within the thread: those of nested agents; empty for its own.';
comment on column pgstate.checkpoint.id is 'Compared as text: the highest of a namespace is its latest.';
comment on column pgstate.checkpoint.parent is 'The checkpoint that it came after; null for none.';
comment on column pgstate.checkpoint.names is 'Names of its channels.';
comment on column pgstate.checkpoint.versions is 'Their versions, as the caller counts them.';
comment on column pgstate.checkpoint.types is 'What data holds of each: a serializer''s type, @ or #; null for no value.';
comment on column pgstate.checkpoint.data is 'The value of each, or the hashes of its chunks.';
comment on column pgstate.checkpoint.header is 'What the caller keeps beside the channels.';
comment on column pgstate.checkpoint.whole is 'False for one whose channels without a value are to be had from the checkpoints that it came after.';
comment on column pgstate.checkpoint.metadata is 'What the caller says of it, to be filtered by.';
comment on column pgstate.checkpoint.run_id is 'The run that made it.';
comment on column pgstate.checkpoint.size is 'Bytes that were sent for it: of its root and of the chunks that were new.';
comment on column pgstate.checkpoint.created_at is 'When it was saved.';
comment on column pgstate.checkpoint.writer is 'The agent that saved it.';
comment on column pgstate.checkpoint.via is 'The database login that the writer came through.';
comment on column pgstate.checkpoint.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
