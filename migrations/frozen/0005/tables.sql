-- From 0004.
set local role pgstate_owner;

-- clear.sql knows policies by the functions that they name: these two of 0004 name none.
drop policy checkpoint_read on pgstate.checkpoint;
drop policy step_read on pgstate.step;

-- Threads: saves that are gathered.
create type pgstate.save_outcome as (ord int, status text, id text, version bigint, head text, missing bytea[], code text, message text, watched boolean);
comment on type pgstate.save_outcome is 'Outcome of one save of several: as saved, or why it was refused.';
