-- What a time means: times of transactions are not the order in which they were committed, snapshots are. So a past time
-- stands for the newest of these that was taken before it.
create table pgstate.feed_point (
  at timestamptz not null,
  epoch int not null,
  seen pg_snapshot not null,
  constraint feed_point_pkey primary key (at)
);
comment on table pgstate.feed_point is 'Points of the change feed by time, about one a second while anything is written: what a read as of a past time goes by.';
comment on column pgstate.feed_point.at is 'When seen was the state: nothing in it was committed later.';
comment on column pgstate.feed_point.epoch is 'Epoch of the transaction ids in seen.';
comment on column pgstate.feed_point.seen is 'What was committed by then, as in a cursor.';
alter table pgstate.feed_point enable row level security;
