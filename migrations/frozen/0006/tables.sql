-- From 0005.
set local role pgstate_owner;
