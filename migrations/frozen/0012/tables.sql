-- From 0011.
set local role pgstate_owner;
