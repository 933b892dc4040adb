-- What happened lately, and by whom: no value is put together here, so that a look at the newest rows costs those rows.
-- Ordered along the index on seq: a LIMIT outside stops it.
create or replace view pgstate.activity with (security_invoker = true) as
select v.at, v.writer, v.via, v.op::text as op, v.key, v.version, v.created, pg_catalog.pg_column_size(v.value) as size, v.expires_at, v.xid, v.seq, v.trust::text as trust
  from pgstate.version v
 order by v.seq desc;
comment on view pgstate.activity is 'What happened lately and by whom, newest first: the history without its values. Give it a LIMIT.';
comment on column pgstate.activity.at is 'When it was written; rows of one transaction differ.';
comment on column pgstate.activity.writer is 'The agent that wrote it; pgstate for an expiry.';
comment on column pgstate.activity.via is 'The database login that the writer came through.';
comment on column pgstate.activity.op is 'put, merge, delete, complete or expire.';
comment on column pgstate.activity.key is 'The key.';
comment on column pgstate.activity.version is 'Number of the version that it made; its value is in pgstate.versions.';
comment on column pgstate.activity.created is 'The key did not exist just before.';
comment on column pgstate.activity.size is 'Bytes stored with this version, compressed; of a value that grows by merges, what was merged. Null where the key was removed.';
comment on column pgstate.activity.expires_at is 'When this version was to expire.';
comment on column pgstate.activity.xid is 'The transaction: alike for what was written together. Xids of before a restore mean nothing.';
comment on column pgstate.activity.seq is 'Order within the feed; not a cursor: a lower one may become visible after a higher one.';
comment on column pgstate.activity.trust is 'How far it can be relied on: external, agent, verified or operator; stamped by the server.';
