create or replace view pgstate.threads with (security_invoker = true) as
select e.key, e.value ->> 'checkpoint' as checkpoint, e.value ->> 'ns' as ns, (e.value -> 'checkpoints')::bigint as checkpoints,
       (e.value -> 'bytes')::bigint as bytes, e.version, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, t.forked_from, t.forked_id
  from pgstate.entry e join pgstate.thread t on t.key = e.key
 where e.live and t.begun_at is not null and (e.expires_at is null or e.expires_at > pgstate._now());
comment on view pgstate.threads is 'Recorded executions; expired and deleted ones are not here.';
comment on column pgstate.threads.key is 'The key.';
comment on column pgstate.threads.checkpoint is 'The checkpoint that was saved last.';
comment on column pgstate.threads.ns is 'Its namespace.';
comment on column pgstate.threads.checkpoints is 'How many checkpoints there are, in all namespaces.';
comment on column pgstate.threads.bytes is 'Bytes that were sent for them, before compression; what an earlier one holds already is not sent again.';
comment on column pgstate.threads.version is 'Version of the entry.';
comment on column pgstate.threads.writer is 'The agent that changed it last.';
comment on column pgstate.threads.via is 'The database login that the writer came through.';
comment on column pgstate.threads.created_at is 'When it began.';
comment on column pgstate.threads.updated_at is 'When it was last changed.';
comment on column pgstate.threads.expires_at is 'When it becomes invisible unless it is changed before; null for never.';
comment on column pgstate.threads.forked_from is 'The key of the thread that it was forked from.';
comment on column pgstate.threads.forked_id is 'The checkpoint that it was forked from; null for a copy of all.';
