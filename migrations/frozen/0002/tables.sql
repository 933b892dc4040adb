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

-- tables/install.sql
alter table pgstate.install
  add column policies boolean not null default false,
  add column cursor_window interval not null default '1 hour',
  add column horizon xid8,
  add constraint install_cursor_window_range check (cursor_window between interval '1 minute' and interval '3650 days');
comment on column pgstate.install.policies is 'There are policies: without any, writes need not look for them.';
comment on column pgstate.install.cursor_window is 'Cursors younger than this stay good whatever retention removes.';
comment on column pgstate.install.horizon is 'The highest transaction id that retention has touched: cursors that had not seen it are refused.';
alter type pgstate._actor add attribute policies boolean;

-- types/_checked.sql
create type pgstate._checked as (error text, budget int);
comment on type pgstate._checked is 'Internal: what a schema says of a value, and how many steps are left; none left (-1) means that the check was given up.';

-- types/_keep.sql
create type pgstate._keep as (versions int, age interval);
comment on type pgstate._keep is 'Internal: the history to keep of one key: so many versions, or so long; both null for everything.';

-- types/_policy.sql
create type pgstate._policy as (reducer text, ttl interval, value_limit int, schema jsonb);
comment on type pgstate._policy is 'Internal: what the policies say of one key; null where none does.';

-- types/maintained.sql
create type pgstate.maintained as (status text, removed bigint, more boolean);
comment on type pgstate.maintained is 'What maintain() did: status ok, or busy when another was at it; how many versions were removed, null for those without admin on everything; whether more waits.';

-- types/policy_row.sql
create type pgstate.policy_row as (
  subtree text, reducer text, ttl interval, keep text, value_limit int, schema jsonb, set_by text, set_at timestamptz
);
comment on type pgstate.policy_row is 'A policy: what it sets for a key or subtree, null what it does not; ttl 0 is none.';

-- types/policy_setting.sql
create type pgstate.policy_setting as (setting text, value jsonb, subtree text);
comment on type pgstate.policy_setting is 'A setting that holds for a key, and the subtree whose policy sets it; null when none does and value is what holds without.';

-- tables/policy.sql
-- What holds below a subtree. A setting that is null here is that of the next subtree above which sets it.
create table pgstate.policy (
  subtree text collate "C" not null,
  -- how near: 2 for each segment, and 1 more for a policy on the key itself
  nearness int not null,
  reducer text collate "C",
  ttl interval,
  keep_versions int,
  keep_age interval,
  keep_everything boolean,
  value_limit int,
  schema jsonb,
  set_by text not null,
  set_at timestamptz not null default pg_catalog.now(),
  constraint policy_pkey primary key (subtree),
  constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema) > 0),
  constraint policy_keeps_one_way check (num_nonnulls(keep_versions, keep_age, keep_everything) <= 1),
  constraint policy_keep_everything_true check (keep_everything),
  constraint policy_keep_versions_positive check (keep_versions > 0),
  constraint policy_value_limit_positive check (value_limit > 0)
);
comment on table pgstate.policy is 'Rules for keys and subtrees: default reducer, default time to live, history kept, largest value, JSON Schema. The nearest subtree that sets one decides it.';
comment on column pgstate.policy.ttl is 'Time to live of what is written without one; 0 for none.';
comment on column pgstate.policy.keep_versions is 'The newest versions of each key are kept, this many.';
comment on column pgstate.policy.keep_age is 'What was current within this time is kept.';
comment on column pgstate.policy.schema is 'Values written from now on must fit it.';

-- tables/reducer.sql
-- By name, not by oid: an oid would not survive a dump and restore, and a column of type regprocedure stops pg_upgrade.
create table pgstate.reducer (
  name text collate "C" not null,
  function_schema text collate "C" not null,
  function_name text collate "C" not null,
  digest bytea not null,
  registered_by text not null,
  registered_at timestamptz not null default pg_catalog.now(),
  constraint reducer_pkey primary key (name),
  constraint reducer_name_form check (name ~ '^[a-z][a-z0-9_]{0,62}$')
);
comment on table pgstate.reducer is 'Reducers of this installation''s own: functions (jsonb, jsonb) -> jsonb that policies may name.';
comment on column pgstate.reducer.digest is 'Hash of the function as it was registered: another body is not run.';

-- tables/mark.sql
-- Which transactions had all ended at a time: how retention knows what every cursor of the last hour has seen.
create table pgstate.mark (
  at timestamptz not null,
  epoch int not null,
  ended_below xid8 not null,
  constraint mark_pkey primary key (at)
);
comment on table pgstate.mark is 'Times, and the oldest transaction under way then. Written and pruned by maintain().';
comment on column pgstate.mark.ended_below is 'Every transaction below this id had ended.';

-- tables/sweep.sql
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

-- tables/review.sql
-- Where another history is to be kept than before, which goes through the keys there and nowhere else: nobody who administers
-- one subtree can send retention back to the beginning for all.
create table pgstate.review (
  subtree text collate "C" not null,
  after text collate "C" not null default '',
  asked_at timestamptz not null default pg_catalog.now(),
  constraint review_pkey primary key (subtree)
);
comment on table pgstate.review is 'Keys and subtrees whose policy on history has changed, and the key up to which retention has gone through them since.';

reset role;
