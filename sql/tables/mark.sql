-- Which transactions had all ended at a time: how retention knows what every cursor of the last hour has seen.
create table pgstate.mark (
  at timestamptz not null,
  epoch int not null,
  ended_below xid8 not null,
  constraint mark_pkey primary key (at)
);
comment on table pgstate.mark is 'Times, and the oldest transaction under way then. Written and pruned by maintain().';
comment on column pgstate.mark.ended_below is 'Every transaction below this id had ended.';
comment on column pgstate.mark.at is 'When it was taken.';
comment on column pgstate.mark.epoch is 'Epoch of ended_below.';
