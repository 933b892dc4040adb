-- Back to 0001. Every value is full by now: the revision writes them out before it clears the code. Times of the past are no longer
-- known then.
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
reset role;
