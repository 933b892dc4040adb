-- From 0012.
set local role pgstate_owner;
