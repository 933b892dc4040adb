-- Back to 0004.
set local role pgstate_owner;

-- The audit trail.
drop table pgstate.audit_pending, pgstate.audit_link, pgstate.audit_chain, pgstate.audit;
drop type pgstate.audit_row, pgstate.audit_checked;
alter table pgstate.install drop constraint install_audit_keep_range, drop column audit_keep;
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
-- Threads: saves that are gathered.
drop type pgstate.save_outcome;
