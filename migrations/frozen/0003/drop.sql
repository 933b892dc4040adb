-- Back to 0002.
set local role pgstate_owner;

-- Claims. Policies that set nothing else than what 0002 knows go.
alter table pgstate.claim
  drop column retry_at,
  drop column error,
  drop column released;
drop table pgstate.claim_log;
delete from pgstate.policy p
 where num_nonnulls(p.reducer, p.ttl, p.keep_versions, p.keep_age, p.keep_everything, p.value_limit, p.schema) = 0;
alter table pgstate.policy
  drop constraint policy_sets_something,
  drop constraint policy_max_attempts_positive,
  drop column max_attempts,
  drop column backoff,
  drop column backoff_limit,
  drop column dead_letter,
  drop column claimed_writes,
  add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema) > 0);
comment on table pgstate.policy is 'Rules for keys and subtrees: default reducer, default time to live, history kept, largest value, JSON Schema. The nearest subtree that sets one decides it.';
update pgstate.install i set policies = exists (select from pgstate.policy);
alter type pgstate.policy_row
  drop attribute max_attempts,
  drop attribute backoff,
  drop attribute backoff_limit,
  drop attribute dead_letter,
  drop attribute claimed_writes;
drop type pgstate._claim_rules;
drop type pgstate.claim_log_row;
drop type pgstate.claim_outcome;
drop type pgstate.task_row;

reset role;
