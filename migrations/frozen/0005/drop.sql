-- Back to 0004.
set local role pgstate_owner;
