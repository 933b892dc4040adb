-- From 0006.
set local role pgstate_owner;
