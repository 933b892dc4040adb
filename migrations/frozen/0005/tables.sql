-- From 0004.
set local role pgstate_owner;

-- clear.sql knows policies by the functions that they name: these two of 0004 name none.
drop policy checkpoint_read on pgstate.checkpoint;
drop policy step_read on pgstate.step;

-- Guards against secrets.
alter table pgstate.policy add column guard text;
comment on column pgstate.policy.guard is 'What becomes of writes that hold a secret: refuse, redact or off.';
alter table pgstate.policy drop constraint policy_sets_something;
alter table pgstate.policy add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
  backoff, backoff_limit, dead_letter, claimed_writes, guard) > 0);
alter table pgstate.policy add constraint policy_guard_known check (guard in ('refuse', 'redact', 'off'));
alter type pgstate._policy add attribute guard text;
alter type pgstate.policy_row add attribute guard text;
