-- Retention goes along the feed, once for each time that policies keep history for: a version that has come to that age
-- shows which older ones of its key may go. So its cost follows what was written and is removed, not what is there.
create table pgstate.sweep (
  delay interval not null,
  epoch int not null default 0,
  xid xid8 not null default '0',
  seq bigint not null default 0,
  constraint sweep_pkey primary key (delay)
);
comment on table pgstate.sweep is 'How far retention has come in the feed, for each age that a policy keeps. The row of delay 0 serves policies that keep a number of versions; locked, it keeps maintain() and changes of policies apart.';
comment on column pgstate.sweep.delay is 'The age, or 0.';
comment on column pgstate.sweep.epoch is 'Epoch of xid.';
comment on column pgstate.sweep.xid is 'Retention has gone through the feed up to this transaction.';
comment on column pgstate.sweep.seq is 'And to this seq within it.';
