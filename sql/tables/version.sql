-- Append-only history and change feed at once.
-- seq comes from a plain sequence with cache 1: an identity column would keep this table from being attached as a
-- partition (18) and breaks pg_upgrade from 16. xid stands before seq: defaults are evaluated in column order, so a
-- transaction has its xid before it takes its first seq, which the paged feed relies on.
create sequence pgstate.version_seq cache 1;

create table pgstate.version (
  key text collate "C" not null,
  version bigint not null,
  epoch int not null,
  xid xid8 not null default pg_catalog.pg_current_xact_id(),
  seq bigint not null default pg_catalog.nextval('pgstate.version_seq'),
  op pgstate.version_op not null,
  created boolean not null default false,
  value jsonb,
  writer text not null,
  via text not null,
  at timestamptz not null,
  expires_at timestamptz,
  meta jsonb,
  reducer text,
  trust pgstate.trust not null default 'agent'
);
create unique index version_key_idx on pgstate.version (key, version);
-- without one, retention could remove nothing where somebody publishes all tables
alter table pgstate.version replica identity using index version_key_idx;
-- seq rides along, so that the last row of a transaction and the first of a window are found without a scan
create index version_feed_idx on pgstate.version (epoch, xid, seq);
create index version_seq_idx on pgstate.version (seq);
comment on table pgstate.version is 'Every version of every key, append-only: history and change feed. Read the view versions, history() or changes().';
comment on column pgstate.version.epoch is 'Epoch of xid: rows of older epochs came with a restore.';
comment on column pgstate.version.xid is 'The transaction that made it visible.';
comment on column pgstate.version.seq is 'Order within the feed.';
comment on column pgstate.version.reducer is 'Set where value is not the value but the operand that this reducer merged into the one before: read it with history() or the view versions.';
comment on column pgstate.version.created is 'The key did not exist just before.';
comment on column pgstate.version.expires_at is 'When this version was to expire, so that a past read knows what had expired then.';
comment on column pgstate.version.key is 'The key.';
comment on column pgstate.version.version is 'Number of the version; dense for each key.';
comment on column pgstate.version.op is 'put, merge, delete, complete or expire.';
comment on column pgstate.version.value is 'The value, or the operand of reducer; null where the key was removed.';
comment on column pgstate.version.writer is 'The agent that wrote it; pgstate for an expiry.';
comment on column pgstate.version.via is 'The database login that the writer came through.';
comment on column pgstate.version.at is 'When it was written.';
comment on column pgstate.version.meta is 'ttl: the time to live, of an entry that touch() gave more time; sources: the versions that its value derives from; endorsed_by: who raised its trust, with the version endorsed, its writer, and from what trust; quarantined_by: who lowered it, likewise.';
comment on column pgstate.version.trust is 'How far it can be relied on: the least of what was declared, of the agent, of the policy and of the sources.';
comment on sequence pgstate.version_seq is 'Order within the feed.';
