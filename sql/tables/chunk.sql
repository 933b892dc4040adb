-- Content-addressed parts of checkpoints: what did not change since an earlier one is not written again. A thread writes to
-- its own chunks only. A fork reads those of the threads that it came from, as far as its checkpoints reach them, and never
-- learns what else is there: what it sends is stored as its own, whether or not they have it.
create table pgstate.chunk (
  thread_id bigint not null,
  hash bytea not null,
  type text collate "C" not null,
  data bytea not null,
  moved_to bytea,
  agent_id int,
  constraint chunk_pkey primary key (thread_id, hash)
);
alter table pgstate.chunk enable row level security;
comment on table pgstate.chunk is 'Parts of the values of checkpoints.';
comment on column pgstate.chunk.thread_id is 'The thread that wrote it.';
comment on column pgstate.chunk.hash is 'The first 16 bytes of the SHA-256 of type, a zero byte, and data.';
comment on column pgstate.chunk.type is 'A serializer''s type; with + before it, several small elements of a list; # and a depth: a page of hashes.';
comment on column pgstate.chunk.data is 'The serialized value; of a page, hashes of 16 bytes each.';
comment on column pgstate.chunk.moved_to is 'The hash of the same, sealed under another key, which is to take its place.';
comment on column pgstate.chunk.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
