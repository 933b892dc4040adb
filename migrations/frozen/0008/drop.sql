-- Back to 0007.
set local role pgstate_owner;

-- Dry runs.
comment on type pgstate.rolled_back is 'One key of rollback(). status: ok, conflict (others wrote it too: left as it is), held, denied, or skipped because of another row. action: put, delete or none. version: the one that it made; from_version and to_version: what was there and what is brought back, 0 for nothing; the values of both; expires_at of the new one; watched as in outcome.';

-- Quotas.
comment on column pgstate.quota.writes_per_minute is 'Versions and calls of put_writes() in a minute of the clock; null for any number.';

-- Who wrote what a task wrote.
alter table pgstate.pending_write drop column writer, drop column written_at;

-- Where payloads are, for people.
alter type pgstate.sealed_row drop attribute name;
comment on type pgstate.sealed_row is 'A sealed payload: where it is, the key of its thread (null for runs, and threads that were deleted), the form, the bytes; are there more in these blocks? See sealed_data().';

-- Transactions of an agent that are not over.
alter type pgstate.open_transaction drop attribute xact;
comment on type pgstate.open_transaction is 'A transaction that has written and is not over: of a session (pid), or prepared under a name.';
comment on type pgstate.quarantined is 'What quarantine() does or found: suspend, release, put, delete, distrust; left for whoever asks: derived, thread, run, open.';

-- 0007 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;
