-- From 0003.
set local role pgstate_owner;
