create type pgstate.open_transaction as (pid int, login text, prepared text, xact text);
comment on type pgstate.open_transaction is 'A transaction that has called us and is not over: of a session (pid), or prepared under a name. xact, as in pg_locks.virtualtransaction: tells it from a later one of the session.';
