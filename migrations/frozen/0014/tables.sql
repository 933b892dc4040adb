-- From 0013.
set local role pgstate_owner;
