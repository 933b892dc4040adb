-- One row: this installation's identity and limits. `identity` names the cluster and database whose transaction ids
-- version.xid holds; after a restore elsewhere they differ and the epoch must rise before anything is written.
create table pgstate.install (
  singleton boolean not null default true,
  identity text not null,
  epoch int not null default 1,
  value_limit int not null default 1048576,
  installed_at timestamptz not null default pg_catalog.now(),
  constraint install_pkey primary key (singleton),
  constraint install_one_row check (singleton),
  constraint install_value_limit_range check (value_limit between 1024 and 268435456)
);
comment on table pgstate.install is 'One row: the identity of the cluster and database, the epoch of transaction ids, and the limits of this installation.';
comment on column pgstate.install.identity is 'System identifier and database oid that version.xid belongs to.';
comment on column pgstate.install.epoch is 'Rises when the database was restored elsewhere: transaction ids of older epochs mean nothing here.';
comment on column pgstate.install.value_limit is 'Largest value in bytes, measured as pg_column_size of the jsonb.';
