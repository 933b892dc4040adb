-- Back to 0006.
set local role pgstate_owner;

-- Quotas of threads and runs.
drop table pgstate.usage_thread, pgstate.usage_run;
alter table pgstate.checkpoint drop column agent_id;
alter table pgstate.chunk drop column agent_id;
alter table pgstate.pending_write drop column agent_id;
alter table pgstate.run drop column agent_id, drop column result_agent_id;
alter table pgstate.step drop column agent_id;
alter table pgstate.signal drop column agent_id;
comment on column pgstate.quota.bytes is 'Size of their values; null for any.';
comment on column pgstate.quota.writes_per_minute is 'Versions in a minute of the clock; null for any number.';
comment on table pgstate.usage is 'What agents with a quota have used, in parts that add up. What others overwrite and what expires is taken off when it is counted anew.';
comment on column pgstate.usage.bytes is 'Size of their values.';
comment on column pgstate.usage.writes is 'Versions in that minute.';

-- Denials that were left out.
drop table pgstate.denied_count;

-- 0006 makes harden() with this type; its grants take it from PUBLIC again.
grant usage on type pgstate.harden_step to public;
