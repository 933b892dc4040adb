-- How points of the feed become fewer with their age: at the density of one a second they would be 31 million a year.
create table pgstate.thinning (
  older interval not null,
  every interval not null,
  upto timestamptz,
  constraint thinning_pkey primary key (older),
  constraint thinning_every_range check (every between interval '1 second' and interval '1 day')
);
alter table pgstate.thinning enable row level security;
comment on table pgstate.thinning is 'Of the points of the feed that are older than this, the first of each interval stays. An administrator may change it.';
comment on column pgstate.thinning.upto is 'How far maintain() has come; null for nowhere yet.';
comment on column pgstate.thinning.older is 'The age.';
comment on column pgstate.thinning.every is 'The interval.';
