-- Back to 0003.
set local role pgstate_owner;

-- Threads and checkpoints. Their heads stay as plain values, which 0003 lets anybody delete.
update pgstate.entry e set kind = 'value' where e.kind = 'thread';
drop table pgstate.pending_write, pgstate.chunk, pgstate.checkpoint, pgstate.thread;
drop type pgstate._removed;
drop type pgstate._stored;
drop type pgstate._thread_head;
drop type pgstate.channel_history;
drop type pgstate.channel_row;
drop type pgstate.checkpoint_full;
drop type pgstate.checkpoint_parts;
drop type pgstate.checkpoint_row;
drop type pgstate.pruned;
drop type pgstate.saved;
drop type pgstate.thread_row;

-- Stores. 0003 would keep vectors that writers gave beside values that have changed since.
delete from pgstate.embedding m where m.digest = '';
comment on column pgstate.version.meta is 'Reserved.';
