-- From 0008.
set local role pgstate_owner;
