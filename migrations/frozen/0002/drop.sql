-- Back to 0001. Every value is full by now: the revision writes them out before it clears the code. Times of the past are no longer
-- known then, and there are no policies.
set local role pgstate_owner;
alter table pgstate.entry
  drop column full_version,
  drop column tail_count,
  drop column tail_bytes,
  drop column full_bytes,
  drop column full_type;
alter table pgstate.version drop column reducer;
alter type pgstate._slot
  drop attribute known,
  drop attribute full_version,
  drop attribute tail_count,
  drop attribute tail_bytes,
  drop attribute full_bytes,
  drop attribute full_type;
drop table pgstate.feed_point;
drop type pgstate._moment;
drop type pgstate.past_listed;
drop type pgstate.past_row;
drop type pgstate.rolled_back;
drop table pgstate.policy, pgstate.reducer, pgstate.mark, pgstate.sweep, pgstate.review;
drop type pgstate._checked;
drop type pgstate._keep;
drop type pgstate._policy;
drop type pgstate.maintained;
drop type pgstate.policy_row;
drop type pgstate.policy_setting;
alter table pgstate.install
  drop column policies,
  drop column cursor_window,
  drop column horizon;
alter type pgstate._actor drop attribute policies;
reset role;
