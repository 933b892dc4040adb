-- What the functions return. Composite types, because a function's parameters (key, value) and result columns share names.
create type pgstate.written as (status text, version bigint, value jsonb);
comment on type pgstate.written is 'Outcome of one write: status ok, conflict, held, stale or missing; the version (of the write when ok, else the current one, 0 when the key does not exist); the current value on conflict, the merged value when asked for.';
