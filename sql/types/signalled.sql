create type pgstate.signalled as (status text, type text, data bytea, due_at timestamptz, cancelled boolean, version bigint);
comment on type pgstate.signalled is 'What waiting for a signal has come to: ok with what was sent, pending until due_at, timeout, stale or missing.';
