-- From 0004.
set local role pgstate_owner;

-- clear.sql knows policies by the functions that they name: these two of 0004 name none.
drop policy checkpoint_read on pgstate.checkpoint;
drop policy step_read on pgstate.step;
