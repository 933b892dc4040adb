-- From 0004.
set local role pgstate_owner;

-- clear.sql knows policies by the functions that they name: these two of 0004 name none.
drop policy checkpoint_read on pgstate.checkpoint;
drop policy step_read on pgstate.step;

-- Runs that sleep. The index of those that workers may take is made anew without them, and reads the table once.
alter table pgstate.run
  alter ready_at drop not null,
  add asleep boolean not null default false,
  add awaits text[] collate "C";
drop index pgstate.run_ready_idx;
create index run_ready_idx on pgstate.run (name, priority desc, ready_at, id) where state = 'open' and key is not null and name is not null and not asleep;
create index run_asleep_idx on pgstate.run (name, ready_at) where state = 'open' and key is not null and name is not null and asleep;
comment on column pgstate.run.ready_at is 'No worker takes it before; null while it sleeps until something wakes it.';
comment on column pgstate.run.asleep is 'No worker looks at it until ready_at, or until it is woken: by a signal that it waits for, the end of a run in awaits, or being cancelled.';
comment on column pgstate.run.awaits is 'The keys of runs whose end it waits for.';
