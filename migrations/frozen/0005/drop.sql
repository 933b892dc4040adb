-- Back to 0004.
set local role pgstate_owner;

-- Threads: saves that are gathered.
drop type pgstate.save_outcome;
