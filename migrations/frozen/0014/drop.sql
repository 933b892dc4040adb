-- Back to 0013.
set local role pgstate_owner;
