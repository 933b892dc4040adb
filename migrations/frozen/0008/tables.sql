-- From 0007.
set local role pgstate_owner;
