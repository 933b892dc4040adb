-- From 0009.
set local role pgstate_owner;

-- without one, retention can remove nothing where somebody publishes all tables
alter table pgstate.version replica identity using index version_key_idx;

alter table pgstate.install add column timeline text;
comment on column pgstate.install.timeline is 'Timeline of the write-ahead log that tokens of claims were given on.';
update pgstate.install set timeline = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
