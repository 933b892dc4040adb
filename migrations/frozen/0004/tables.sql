-- From 0003.
set local role pgstate_owner;

-- Threads and checkpoints

create type pgstate._removed as (removed bigint, value jsonb);
comment on type pgstate._removed is 'Internal: how many checkpoints were removed, and what the entry of the thread says since.';

create type pgstate._stored as (status text, id text, head text, missing bytea[], added int, bytes bigint, watching boolean);
comment on type pgstate._stored is 'Internal: what became of a checkpoint that was to be stored.';

create type pgstate._thread_head as (status text, version bigint, value jsonb, live boolean, at timestamptz);
comment on type pgstate._thread_head is 'Internal: a thread''s entry, locked; status is null when it may be written.';

create type pgstate.channel_history as (
  seed_channels text[], seed_types text[], seed_data bytea[], chunk_hashes bytea[], chunk_types text[], chunk_data bytea[],
  write_channels text[], write_task_ids text[], write_types text[], write_data bytea[]
);
comment on type pgstate.channel_history is 'What channels are made of at a checkpoint: of each the value that its nearest ancestor with one has, and what was written to it since, the oldest first.';

create type pgstate.channel_row as (channel text, type text, version text, value jsonb);
comment on type pgstate.channel_row is 'A channel of a checkpoint: its value where that is JSON, its serializer''s type.';

create type pgstate.checkpoint_full as (
  status text, key text, ns text, id text, parent text, metadata jsonb, run_id text, header bytea, whole boolean,
  names text[], versions text[], types text[], data bytea[], size bigint, created_at timestamptz, writer text, via text,
  chunk_hashes bytea[], chunk_types text[], chunk_data bytea[],
  write_task_ids text[], write_task_paths text[], write_idxs int[], write_channels text[], write_types text[], write_data bytea[]
);
comment on type pgstate.checkpoint_full is 'A checkpoint with the chunks that it reaches and the writes that came after it, ordered by path, task and idx.';

create type pgstate.checkpoint_parts as (
  chunk_hashes bytea[], chunk_types text[], chunk_data bytea[], write_checkpoints text[], write_task_ids text[],
  write_task_paths text[], write_idxs int[], write_channels text[], write_types text[], write_data bytea[]
);
comment on type pgstate.checkpoint_parts is 'What several checkpoints reach, each chunk once, and the writes that came after each, in their order.';

create type pgstate.checkpoint_row as (
  status text, key text, ns text, id text, parent text, metadata jsonb, run_id text, header bytea, whole boolean,
  names text[], versions text[], types text[], data bytea[], size bigint, created_at timestamptz, writer text, via text
);
comment on type pgstate.checkpoint_row is 'A checkpoint without its chunks, as in the table; status is ok, or missing.';

create type pgstate.pruned as (status text, removed bigint);
comment on type pgstate.pruned is 'Outcome of removing checkpoints: status ok with their number, missing, held or stale.';

create type pgstate.saved as (status text, id text, version bigint, head text, missing bytea[], watched boolean);
comment on type pgstate.saved is 'Outcome of a save: status ok with the id of the checkpoint and the version of the thread''s entry, conflict (head is the latest checkpoint), missing, incomplete (missing: hashes of chunks to be sent along), held or stale.';

create type pgstate.thread_row as (
  key text, checkpoint text, ns text, checkpoints bigint, bytes bigint, version bigint, writer text, via text,
  created_at timestamptz, updated_at timestamptz, expires_at timestamptz, forked_from text, forked_id text
);
comment on type pgstate.thread_row is 'A thread: what was saved last, how many checkpoints there are, bytes that were sent for them.';

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

-- Content-addressed parts of checkpoints: what did not change since an earlier one is not written again. A thread writes to
-- its own chunks only. A fork reads those of the threads that it came from, as far as its checkpoints reach them, and never
-- learns what else is there: what it sends is stored as its own, whether or not they have it.
create table pgstate.chunk (
  thread_id bigint not null,
  hash bytea not null,
  type text collate "C" not null,
  data bytea not null,
  constraint chunk_pkey primary key (thread_id, hash)
);
alter table pgstate.chunk enable row level security;
comment on table pgstate.chunk is 'Parts of the values of checkpoints.';
comment on column pgstate.chunk.thread_id is 'The thread that wrote it.';
comment on column pgstate.chunk.hash is 'The first 16 bytes of the SHA-256 of type, a zero byte, and data.';
comment on column pgstate.chunk.type is 'A serializer''s type; with + before it, several small elements of a list; # and a depth: a page of hashes.';
comment on column pgstate.chunk.data is 'The serialized value; of a page, hashes of 16 bytes each.';

-- What tasks wrote after a checkpoint, before the next one was made of it: kept for who resumes there. It may come before
-- its checkpoint.
create table pgstate.pending_write (
  thread_id bigint not null,
  ns text collate "C" not null,
  checkpoint text collate "C" not null,
  task_id text collate "C" not null,
  idx int not null,
  task_path text collate "C" not null,
  channel text not null,
  type text collate "C" not null,
  data bytea not null,
  constraint pending_write_pkey primary key (thread_id, ns, checkpoint, task_id, idx)
);
alter table pgstate.pending_write enable row level security;
comment on table pgstate.pending_write is 'Writes of tasks that no checkpoint holds yet.';
comment on column pgstate.pending_write.thread_id is 'The thread.';
comment on column pgstate.pending_write.ns is 'The namespace within the thread.';
comment on column pgstate.pending_write.checkpoint is 'The checkpoint that the task came after.';
comment on column pgstate.pending_write.task_id is 'The task.';
comment on column pgstate.pending_write.idx is 'Which of the task''s writes; negative ones are of a kind that there is one of.';
comment on column pgstate.pending_write.task_path is 'Where the task stands; writes are read in the order of paths, tasks, idx.';
comment on column pgstate.pending_write.channel is 'The channel that it is for.';
comment on column pgstate.pending_write.type is 'The serializer''s type of data.';
comment on column pgstate.pending_write.data is 'The serialized value.';

-- Runs and steps

create type pgstate._step_done as (ord int, status text, cancelled boolean);
comment on type pgstate._step_done is 'Internal: what became of a step that was to be recorded.';

create type pgstate.run_full as (
  status text, key text, token bigint, lease_until timestamptz, retry_in interval, attempts int, created boolean, state text,
  name text, code text, seed uuid, at timestamptz, begun_at timestamptz, deadline timestamptz, cancelled boolean, input_type text, input bytea,
  result_type text, result bytea, steps text[], positions int[], mains boolean[], kinds text[], states text[], types text[], data bytea[],
  due_ats timestamptz[]
);
comment on type pgstate.run_full is 'A run and its finished steps, for who goes on with it: token when status is ok, retry_in when it is held; at is the server''s time. state is open, done, failed or cancelled.';

create type pgstate.run_row as (
  key text, name text, state text, step text, steps bigint, holder text, lease_until timestamptz, attempts int, priority int,
  ready_at timestamptz, deadline timestamptz, error text, result jsonb, input jsonb, code text, parent text, forked_from text, forked_step text,
  version bigint, created_at timestamptz, updated_at timestamptz, ended_at timestamptz
);
comment on type pgstate.run_row is 'A run: state is waiting, running, done, failed or cancelled.';

create type pgstate.signalled as (status text, type text, data bytea, due_at timestamptz, cancelled boolean, version bigint);
comment on type pgstate.signalled is 'What waiting for a signal has come to: ok with what was sent, pending until due_at, timeout, stale or missing.';

create type pgstate.step_outcome as (ord int, status text, version bigint, cancelled boolean, code text, message text, watched boolean);
comment on type pgstate.step_outcome is 'Outcome of recording a step: status ok with the new version of the run''s entry, stale, missing, ended, exists, or why it was refused. cancelled: the run is to end.';

create type pgstate.step_row as (
  step text, name text, kind text, state text, "position" int, result jsonb, error text, attempts int, started_at timestamptz,
  finished_at timestamptz, due_at timestamptz, token bigint
);
comment on type pgstate.step_row is 'A step of a run: state is pending, done or failed.';

-- A durable execution. Its head is an entry of kind run under the same key, which grants, the feed, claims and times to live
-- go by; every change of a run locks that entry first. One that was deleted or has expired has lost its key, and what it
-- held is removed afterwards.
create sequence pgstate.run_id_seq;

create table pgstate.run (
  id bigint not null default pg_catalog.nextval('pgstate.run_id_seq'),
  key text collate "C",
  name text collate "C",
  code text,
  seed uuid not null default pg_catalog.gen_random_uuid(),
  state text not null default 'open',
  priority int not null default 0,
  ready_at timestamptz not null,
  begun_at timestamptz not null,
  deadline timestamptz,
  cancel_at timestamptz,
  parent text collate "C",
  forked_from text collate "C",
  forked_step text collate "C",
  input_type text,
  input bytea,
  result_type text,
  result bytea,
  ended_at timestamptz,
  constraint run_pkey primary key (id),
  constraint run_key_key unique (key),
  constraint run_state_known check (state in ('open', 'done', 'failed', 'cancelled'))
);
alter sequence pgstate.run_id_seq owned by pgstate.run.id;
-- what workers look for, and what is left to remove
create index run_ready_idx on pgstate.run (name, priority desc, ready_at, id) where state = 'open' and key is not null and name is not null;
create index run_gone_idx on pgstate.run (id) where key is null;
alter table pgstate.run enable row level security;
comment on table pgstate.run is 'Runs: durable executions. Read the view runs.';
comment on column pgstate.run.id is 'Number, never given again; steps and signals name it.';
comment on column pgstate.run.key is 'The entry that is its head; null once that was deleted or has expired.';
comment on column pgstate.run.name is 'The workflow, by which workers find it; null for one that is entered by its key only.';
comment on column pgstate.run.code is 'The version of the code that its steps are in the order of.';
comment on column pgstate.run.seed is 'What its random numbers and uuids come from.';
comment on column pgstate.run.state is 'open, done, failed or cancelled.';
comment on column pgstate.run.priority is 'Higher ones are taken first.';
comment on column pgstate.run.ready_at is 'No worker takes it before.';
comment on column pgstate.run.begun_at is 'When it was made.';
comment on column pgstate.run.deadline is 'When it fails unless it has ended; null for never.';
comment on column pgstate.run.cancel_at is 'When it was told to end.';
comment on column pgstate.run.parent is 'The run that started it.';
comment on column pgstate.run.forked_from is 'The run that it was forked from.';
comment on column pgstate.run.forked_step is 'The step from which on it goes its own way.';
comment on column pgstate.run.input_type is 'The form of input.';
comment on column pgstate.run.input is 'What it was started with.';
comment on column pgstate.run.result_type is 'The form of result; error when that is the message of what it failed with.';
comment on column pgstate.run.result is 'What it returned.';
comment on column pgstate.run.ended_at is 'When it ended.';
comment on sequence pgstate.run_id_seq is 'Numbers of runs.';

-- What was done of a run and is never done again: a row for each finished step, and for each that waits.
create table pgstate.step (
  run_id bigint not null,
  id text collate "C" not null,
  name text collate "C" not null,
  kind text not null,
  position int,
  main boolean not null,
  state text not null,
  type text,
  data bytea,
  attempts int not null,
  started_at timestamptz not null,
  finished_at timestamptz,
  due_at timestamptz,
  token bigint,
  constraint step_pkey primary key (run_id, id),
  constraint step_state_known check (state in ('pending', 'done', 'failed')),
  constraint step_id_length check (pg_catalog.octet_length(id) between 1 and 512)
);
alter table pgstate.step enable row level security;
comment on table pgstate.step is 'Steps of runs. Read the view steps.';
comment on column pgstate.step.run_id is 'The run.';
comment on column pgstate.step.id is 'The name, with #n for its nth occurrence from the second on, and [i] for the ith element of a map.';
comment on column pgstate.step.name is 'The name.';
comment on column pgstate.step.kind is 'step, map, sleep, signal, child, now or undo.';
comment on column pgstate.step.position is 'The how many-eth step of the code it is, where that is told; elements of a map share one. Null for those of an earlier version of the code.';
comment on column pgstate.step.main is 'Called from the run''s own line, whose order must stay.';
comment on column pgstate.step.state is 'pending, done or failed.';
comment on column pgstate.step.type is 'The form of data; error when that is the message of what it failed with.';
comment on column pgstate.step.data is 'The result.';
comment on column pgstate.step.attempts is 'How often it was tried by who finished it.';
comment on column pgstate.step.started_at is 'When it began, for the last time.';
comment on column pgstate.step.finished_at is 'When it was recorded; null while it is pending.';
comment on column pgstate.step.due_at is 'Until when it sleeps, or waits for a signal.';
comment on column pgstate.step.token is 'Fencing token of the worker that recorded it.';

-- What was sent to a run: each is taken by one step.
create sequence pgstate.signal_no_seq;

create table pgstate.signal (
  no bigint not null default pg_catalog.nextval('pgstate.signal_no_seq'),
  run_id bigint not null,
  name text collate "C" not null,
  type text,
  data bytea,
  sender text not null,
  via text not null,
  sent_at timestamptz not null,
  taken_by text collate "C",
  constraint signal_pkey primary key (run_id, no),
  constraint signal_name_length check (pg_catalog.octet_length(name) between 1 and 256)
);
alter sequence pgstate.signal_no_seq owned by pgstate.signal.no;
create index signal_waiting_idx on pgstate.signal (run_id, name, no) where taken_by is null;
alter table pgstate.signal enable row level security;
comment on table pgstate.signal is 'Signals to runs.';
comment on column pgstate.signal.no is 'Order of arrival.';
comment on column pgstate.signal.run_id is 'The run.';
comment on column pgstate.signal.name is 'What it is called.';
comment on column pgstate.signal.type is 'The form of data.';
comment on column pgstate.signal.data is 'What was sent along.';
comment on column pgstate.signal.sender is 'The agent that sent it.';
comment on column pgstate.signal.via is 'The database login that it came through.';
comment on column pgstate.signal.sent_at is 'When it was sent.';
comment on column pgstate.signal.taken_by is 'The step that has taken it.';
comment on sequence pgstate.signal_no_seq is 'Order of arrival of signals.';

-- Stores.
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time.';
