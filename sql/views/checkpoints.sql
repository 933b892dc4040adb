create or replace view pgstate.checkpoints with (security_invoker = true) as
select t.key, c.ns, c.id, c.parent, c.metadata, c.run_id, c.names as channels, c.size, c.created_at, c.writer, c.via
  from pgstate.checkpoint c join pgstate.thread t on t.id = c.thread_id join pgstate.entry e on e.key = t.key
 where e.live and t.begun_at is not null and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.checkpoints is 'Points of threads, without what they hold: see checkpoint_state().';
comment on column pgstate.checkpoints.key is 'The thread.';
comment on column pgstate.checkpoints.ns is 'The namespace within the thread: those of nested agents; empty for its own.';
comment on column pgstate.checkpoints.id is 'Compared as text: the highest of a namespace is its latest.';
comment on column pgstate.checkpoints.parent is 'The checkpoint that it came after; null for none.';
comment on column pgstate.checkpoints.metadata is 'What was said of it.';
comment on column pgstate.checkpoints.run_id is 'The run that made it.';
comment on column pgstate.checkpoints.channels is 'Names of what it holds.';
comment on column pgstate.checkpoints.size is 'Bytes that were sent for it.';
comment on column pgstate.checkpoints.created_at is 'When it was saved.';
comment on column pgstate.checkpoints.writer is 'The agent that saved it.';
comment on column pgstate.checkpoints.via is 'The database login that the writer came through.';
