-- From 0010.
set local role pgstate_owner;
