-- Back to 0004.
set local role pgstate_owner;

-- Runs that sleep wait with a worker again.
drop index pgstate.run_asleep_idx;
drop index pgstate.run_ready_idx;
update pgstate.run set ready_at = begun_at where ready_at is null;
alter table pgstate.run
  alter ready_at set not null,
  drop asleep,
  drop awaits;
create index run_ready_idx on pgstate.run (name, priority desc, ready_at, id) where state = 'open' and key is not null and name is not null;
comment on column pgstate.run.ready_at is 'No worker takes it before.';
