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
  agent_id int,
  writer text collate "C",
  written_at timestamptz,
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
comment on column pgstate.pending_write.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
comment on column pgstate.pending_write.writer is 'The agent that wrote it; null for what is older than this column.';
comment on column pgstate.pending_write.written_at is 'When.';
