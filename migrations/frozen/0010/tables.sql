-- From 0009.
set local role pgstate_owner;

-- without one, retention can remove nothing where somebody publishes all tables
alter table pgstate.version replica identity using index version_key_idx;
