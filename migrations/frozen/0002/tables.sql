-- From 0001. Columns without a default rewrite nothing: their locks are held for a moment.
set local role pgstate_owner;
alter table pgstate.entry
  add column full_version bigint,
  add column tail_count int,
  add column tail_bytes int,
  add column full_bytes int,
  add column full_type text;
comment on column pgstate.entry.full_version is 'The version that value is the full value of, if operands of later versions are to be folded in; else null or version itself.';
comment on column pgstate.entry.tail_count is 'How many operands came since full_version; tail_bytes: their size; full_bytes and full_type: of value.';
alter table pgstate.version add column reducer text;
comment on column pgstate.version.reducer is 'Set where value is not the value but the operand that this reducer merged into the one before: read it with history() or the view versions.';
alter type pgstate._slot
  add attribute known boolean,
  add attribute full_version bigint,
  add attribute tail_count int,
  add attribute tail_bytes int,
  add attribute full_bytes int,
  add attribute full_type text;

-- types/_moment.sql
create type pgstate._moment as (epoch int, base pg_snapshot, upto pg_snapshot, after bigint, seq bigint, at timestamptz);
comment on type pgstate._moment is 'Internal: a past state. What its versions are: those visible in base, those visible in upto up to seq after, and all of older epochs. seq: about where it ends, for searching; at: when it was, for telling what had expired.';

-- types/past_listed.sql
create type pgstate.past_listed as (
  key text, value jsonb, version bigint, writer text, via text, updated_at timestamptz, expires_at timestamptz, cursor text
);
comment on type pgstate.past_listed is 'One row of list_as_of(): an entry as it was, and the point of the feed that this was at.';

-- types/past_row.sql
create type pgstate.past_row as (
  status text, key text, value jsonb, version bigint, writer text, via text, updated_at timestamptz, expires_at timestamptz
);
comment on type pgstate.past_row is 'An entry as it was: status ok or missing, and what its history keeps.';

-- types/rolled_back.sql
create type pgstate.rolled_back as (
  key text, status text, action text, version bigint, from_version bigint, to_version bigint, old_value jsonb, new_value jsonb,
  expires_at timestamptz, watched boolean
);
comment on type pgstate.rolled_back is 'One key of rollback(). status: ok, conflict (others wrote it too: left as it is), held, denied, or skipped because of another row. action: put, delete or none. version: the one that it made; from_version and to_version: what was there and what is brought back, 0 for nothing; the values of both; expires_at of the new one; watched as in outcome.';

-- tables/feed_point.sql
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

reset role;
