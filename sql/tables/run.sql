-- A durable execution. Its head is an entry of kind run under the same key, which grants, the feed, claims and times to live
-- go by; every change of a run locks that entry first. One that was deleted or has expired has lost its key, and what it
-- held is removed afterwards.
create sequence pgstate.run_id_seq;

create table pgstate.run (
  id bigint not null default pg_catalog.nextval('pgstate.run_id_seq'),
  key text collate "C",
  name text collate "C",
  code text,
  seed uuid not null default pg_catalog.gen_random_uuid(),
  state text not null default 'open',
  priority int not null default 0,
  ready_at timestamptz,
  begun_at timestamptz not null,
  deadline timestamptz,
  cancel_at timestamptz,
  parent text collate "C",
  forked_from text collate "C",
  forked_step text collate "C",
  input_type text,
  input bytea,
  result_type text,
  result bytea,
  ended_at timestamptz,
  asleep boolean not null default false,
  awaits text[] collate "C",
  agent_id int,
  result_agent_id int,
  constraint run_pkey primary key (id),
  constraint run_key_key unique (key),
  constraint run_state_known check (state in ('open', 'done', 'failed', 'cancelled'))
);
alter sequence pgstate.run_id_seq owned by pgstate.run.id;
-- what workers look for, and what is left to remove
create index run_ready_idx on pgstate.run (name, priority desc, ready_at, id) where state = 'open' and key is not null and name is not null and not asleep;
create index run_asleep_idx on pgstate.run (name, ready_at) where state = 'open' and key is not null and name is not null and asleep;
create index run_gone_idx on pgstate.run (id) where key is null;
alter table pgstate.run enable row level security;
comment on table pgstate.run is 'Runs: durable executions. Read the view runs.';
comment on column pgstate.run.id is 'Number, never given again; steps and signals name it.';
comment on column pgstate.run.key is 'The entry that is its head; null once that was deleted or has expired.';
comment on column pgstate.run.name is 'The workflow, by which workers find it; null for one that is entered by its key only.';
comment on column pgstate.run.code is 'The version of the code that its steps are in the order of.';
comment on column pgstate.run.seed is 'What its random numbers and uuids come from.';
comment on column pgstate.run.state is 'open, done, failed or cancelled.';
comment on column pgstate.run.priority is 'Higher ones are taken first.';
comment on column pgstate.run.ready_at is 'No worker takes it before; null while it sleeps until something wakes it.';
comment on column pgstate.run.begun_at is 'When it was made.';
comment on column pgstate.run.deadline is 'When it fails unless it has ended; null for never.';
comment on column pgstate.run.cancel_at is 'When it was told to end.';
comment on column pgstate.run.parent is 'The run that started it.';
comment on column pgstate.run.forked_from is 'The run that it was forked from.';
comment on column pgstate.run.forked_step is 'The step from which on it goes its own way.';
comment on column pgstate.run.input_type is 'The form of input.';
comment on column pgstate.run.input is 'What it was started with.';
comment on column pgstate.run.result_type is 'The form of result; error when that is the message of what it failed with.';
comment on column pgstate.run.result is 'What it returned.';
comment on column pgstate.run.ended_at is 'When it ended.';
comment on column pgstate.run.asleep is 'No worker looks at it until ready_at, or until it is woken: by a signal that it waits for, the end of a run in awaits, or being cancelled.';
comment on column pgstate.run.awaits is 'The keys of runs whose end it waits for.';
comment on sequence pgstate.run_id_seq is 'Numbers of runs.';
comment on column pgstate.run.agent_id is 'The agent whose quota the input counts to; null if it had none when it was written.';
comment on column pgstate.run.result_agent_id is 'That of the result, likewise.';
