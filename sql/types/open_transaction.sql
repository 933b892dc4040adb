create type pgstate.open_transaction as (pid int, login text, prepared text);
comment on type pgstate.open_transaction is 'A transaction that has written and is not over: of a session (pid), or prepared under a name.';
