create type pgstate.outcome as (ord int, status text, version bigint, value jsonb, code text, message text, watched boolean);
comment on type pgstate.outcome is 'Outcome of one row of a set-based write: ord counts from 1 in the order of the input, code and message are the SQLSTATE and text of a refused row, watched says that somebody watches a key that this statement wrote.';
