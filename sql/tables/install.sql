-- One row: this installation's identity and limits. `identity` names the cluster and database whose transaction ids
-- version.xid holds, and table_oid tells of a restore into the same database: if either has changed, the epoch must rise before
-- anything is written.
create table pgstate.install (
  singleton boolean not null default true,
  identity text not null,
  epoch int not null default 1,
  value_limit int not null default 1048576,
  installed_at timestamptz not null default pg_catalog.now(),
  policies boolean not null default false,
  cursor_window interval not null default '1 hour',
  horizon xid8,
  horizon_epoch int,
  table_oid oid,
  audit_keep interval,
  timeline text,
  given pgstate.keymultirange not null default '{}',
  constraint install_pkey primary key (singleton),
  constraint install_one_row check (singleton),
  constraint install_value_limit_range check (value_limit between 1024 and 268435456),
  constraint install_cursor_window_range check (cursor_window between interval '1 minute' and interval '3650 days'),
  constraint install_audit_keep_range check (audit_keep >= interval '1 day')
);
comment on table pgstate.install is 'One row: the identity of the cluster and database, the epoch of transaction ids, and the limits of this installation.';
comment on column pgstate.install.identity is 'System identifier and database oid that version.xid belongs to.';
comment on column pgstate.install.epoch is 'Rises when the database was restored elsewhere: transaction ids of older epochs mean nothing here.';
comment on column pgstate.install.value_limit is 'Largest value in bytes, measured as pg_column_size of the jsonb.';
comment on column pgstate.install.policies is 'There are policies: without any, writes need not look for them.';
comment on column pgstate.install.cursor_window is 'Cursors younger than this stay good whatever retention removes.';
comment on column pgstate.install.horizon is 'The highest transaction id that retention has touched: cursors that had not seen it are refused.';
comment on column pgstate.install.horizon_epoch is 'Epoch of horizon.';
comment on column pgstate.install.table_oid is 'What the oid of this table was: in one that was dropped and restored in place it is another.';
comment on column pgstate.install.audit_keep is 'How long the audit trail is kept; null for ever. Set by set_audit().';
comment on column pgstate.install.timeline is 'Timeline of the write-ahead log that tokens of claims were given on.';
comment on column pgstate.install.given is 'Keys of which nothing is indexed but vectors that their writers give: see set_search().';
comment on column pgstate.install.singleton is 'Always true: there is one row.';
comment on column pgstate.install.installed_at is 'When pgstate was installed here.';
