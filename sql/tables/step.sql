-- What was done of a run and is never done again: a row for each finished step, and for each that waits.
create table pgstate.step (
  run_id bigint not null,
  id text collate "C" not null,
  name text collate "C" not null,
  kind text not null,
  position int,
  main boolean not null,
  state text not null,
  type text,
  data bytea,
  attempts int not null,
  started_at timestamptz not null,
  finished_at timestamptz,
  due_at timestamptz,
  token bigint,
  agent_id int,
  constraint step_pkey primary key (run_id, id),
  constraint step_state_known check (state in ('pending', 'done', 'failed')),
  constraint step_id_length check (pg_catalog.octet_length(id) between 1 and 512)
);
alter table pgstate.step enable row level security;
comment on table pgstate.step is 'Steps of runs. Read the view steps.';
comment on column pgstate.step.run_id is 'The run.';
comment on column pgstate.step.id is 'The name, with #n for its nth occurrence from the second on, and [i] for the ith element of a map.';
comment on column pgstate.step.name is 'The name.';
comment on column pgstate.step.kind is 'step, map, sleep, signal, child, now or undo.';
comment on column pgstate.step.position is 'The how many-eth step of the code it is, where that is told; elements of a map share one. Null for those of an earlier version of the code.';
comment on column pgstate.step.main is 'Called from the run''s own line, whose order must stay.';
comment on column pgstate.step.state is 'pending, done or failed.';
comment on column pgstate.step.type is 'The form of data; error when that is the message of what it failed with.';
comment on column pgstate.step.data is 'The result.';
comment on column pgstate.step.attempts is 'How often it was tried by who finished it.';
comment on column pgstate.step.started_at is 'When it began, for the last time.';
comment on column pgstate.step.finished_at is 'When it was recorded; null while it is pending.';
comment on column pgstate.step.due_at is 'Until when it sleeps, or waits for a signal.';
comment on column pgstate.step.token is 'Fencing token of the worker that recorded it.';
comment on column pgstate.step.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
