-- From 0007.
set local role pgstate_owner;

-- Transactions of an agent that are not over.
alter type pgstate.open_transaction add attribute xact text;
comment on type pgstate.open_transaction is 'A transaction that has called us and is not over: of a session (pid), or prepared under a name. xact, as in pg_locks.virtualtransaction: tells it from a later one of the session.';
comment on type pgstate.quarantined is 'What quarantine() does or found: suspend, release, put, delete, distrust; undo, of what it may not; left for whoever asks: derived, thread, run, open, more, again.';

-- Where payloads are, for people.
alter type pgstate.sealed_row add attribute name text;
comment on type pgstate.sealed_row is 'A sealed payload: where it is, the key of its thread or run (null when that was deleted), the form, the bytes; are there more in these blocks? name: what it is there, for people. See sealed_data().';

-- Who wrote what a task wrote. Of what is there already it is not known.
alter table pgstate.pending_write add column writer text collate "C", add column written_at timestamptz;
comment on column pgstate.pending_write.writer is 'The agent that wrote it; null for what is older than this column.';
comment on column pgstate.pending_write.written_at is 'When.';

-- Quotas.
comment on column pgstate.quota.writes_per_minute is 'Versions, calls of put_writes(), op_ids and new lanes in a minute of the clock; null for any number.';

-- Dry runs.
comment on type pgstate.rolled_back is 'One key of rollback(). status: ok, conflict (others wrote it too: left as it is), held, denied, refused (in a dry run: by a rule of today), or skipped because of another row. action: put, delete or none. version: the one that it made; from_version and to_version: what was there and what is brought back, 0 for nothing; the values of both; expires_at of the new one; watched as in outcome.';
