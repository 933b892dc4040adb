-- Back to 0004.
set local role pgstate_owner;

-- Guards against secrets.
alter type pgstate.policy_row drop attribute guard;
alter type pgstate._policy drop attribute guard;
-- a policy that sets nothing else
delete from pgstate.policy
 where num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes) = 0;
alter table pgstate.policy drop constraint policy_guard_known;
alter table pgstate.policy drop constraint policy_sets_something;
alter table pgstate.policy add constraint policy_sets_something check (num_nonnulls(reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, max_attempts,
  backoff, backoff_limit, dead_letter, claimed_writes) > 0);
alter table pgstate.policy drop column guard;
