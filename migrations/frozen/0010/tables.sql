-- From 0009.
set local role pgstate_owner;
