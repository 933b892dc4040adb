-- What follows belongs to the tables' owner.
set local role pgstate_owner;
