-- The highest version that a purged key had: keys that are new start above it, whichever they are. One for all, so that it
-- tells nobody about the keys beside his; a sequence, because it must be seen by snapshots that are older.
create sequence pgstate.version_floor cache 1;

-- What a key holds now. A deleted or expired key keeps its row as a tombstone (live = false), so that versions
-- never restart, until retention purges it. It is live just when there is a value: functions alone write here, and a check constraint cost
-- a put a fortieth, since each statement reads and plans it anew. (The tests' databases have one.)
create table pgstate.entry (
  key text collate "C" not null,
  -- the key without its last segment: serves claims of one directory in order. A column, because an expression index
  -- cannot be used under row-level security (its functions are not leakproof); a plain one, written with the key, because
  -- a generated one costs every update 15 us.
  parent text collate "C" not null,
  kind pgstate.entry_kind not null default 'value',
  version bigint not null,
  live boolean not null,
  value jsonb,
  writer text not null,
  via text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  expires_at timestamptz,
  priority int not null default 0,
  not_before timestamptz,
  -- A value that grows by merges is not written anew each time: value is then the one of this version, and the operands
  -- of the versions after it are folded in by whoever reads. Null where nothing grows.
  full_version bigint,
  tail_count int,
  tail_bytes int,
  full_bytes int,
  full_type text,
  trust pgstate.trust not null default 'agent',
  constraint entry_pkey primary key (key)
) with (fillfactor = 75);
create index entry_task_idx on pgstate.entry (parent, priority desc, created_at, key) where live;
create index entry_not_before_idx on pgstate.entry (parent, not_before) where live and not_before is not null;
create index entry_expires_idx on pgstate.entry (expires_at) where live and expires_at is not null;
comment on table pgstate.entry is 'What each key holds now, tombstones included. Written by functions only; read the view entries.';
comment on column pgstate.entry.parent is 'The key without its last segment.';
comment on column pgstate.entry.version is 'Number of the newest version; 0 marks a key that was only ever guarded as absent.';
comment on column pgstate.entry.full_version is 'The version that value is the full value of, if operands of later versions are to be folded in; else null or version itself.';
comment on column pgstate.entry.tail_count is 'How many operands came since full_version; tail_bytes: their size; full_bytes and full_type: of value.';
comment on column pgstate.entry.live is 'False for a tombstone.';
comment on column pgstate.entry.writer is 'The agent that wrote the newest version; pgstate for an expiry.';
comment on column pgstate.entry.via is 'The database login that the writer came through.';
comment on column pgstate.entry.key is 'The key: segments joined by /.';
comment on column pgstate.entry.kind is 'value, thread or run.';
comment on column pgstate.entry.value is 'The current value, or that of full_version; null for a tombstone.';
comment on column pgstate.entry.created_at is 'When the key came into being, last.';
comment on column pgstate.entry.updated_at is 'When the newest version was written.';
comment on column pgstate.entry.expires_at is 'When the entry becomes invisible; null for never.';
comment on column pgstate.entry.priority is 'Higher ones are claimed first.';
comment on column pgstate.entry.not_before is 'Not claimable before this time.';
comment on column pgstate.entry.tail_bytes is 'Size of those operands.';
comment on column pgstate.entry.full_bytes is 'Size of value, where it grows.';
comment on column pgstate.entry.full_type is 'JSON type of value, where it grows.';
comment on column pgstate.entry.trust is 'How far the newest version can be relied on; stamped by the server.';
comment on sequence pgstate.version_floor is 'The highest version of a tombstone that was purged: new keys start above it.';
