-- Back to 0002.
set local role pgstate_owner;

reset role;
