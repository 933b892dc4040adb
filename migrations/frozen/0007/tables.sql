-- From 0006.
set local role pgstate_owner;

-- Quotas of threads and runs. Of what is there already it is not known whose it is: it counts to nobody.
alter table pgstate.checkpoint add column agent_id int;
comment on column pgstate.checkpoint.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
alter table pgstate.chunk add column agent_id int;
comment on column pgstate.chunk.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
alter table pgstate.pending_write add column agent_id int;
comment on column pgstate.pending_write.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
alter table pgstate.run add column agent_id int, add column result_agent_id int;
comment on column pgstate.run.agent_id is 'The agent whose quota the input counts to; null if it had none when it was written.';
comment on column pgstate.run.result_agent_id is 'That of the result, likewise.';
alter table pgstate.step add column agent_id int;
comment on column pgstate.step.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
alter table pgstate.signal add column agent_id int;
comment on column pgstate.signal.agent_id is 'The agent whose quota this counts to; null if it had none when this was written.';
-- Where to look for it: an index over rows that are there already would keep writers waiting while it is made.
create table pgstate.usage_thread (
  agent_id int not null,
  thread_id bigint not null,
  constraint usage_thread_pkey primary key (thread_id, agent_id),
  constraint usage_thread_thread_fkey foreign key (thread_id) references pgstate.thread (id) on delete cascade
);
create index usage_thread_agent_idx on pgstate.usage_thread (agent_id);
alter table pgstate.usage_thread enable row level security;
comment on table pgstate.usage_thread is 'Threads that hold something of an agent with a quota.';
comment on column pgstate.usage_thread.agent_id is 'The agent.';
comment on column pgstate.usage_thread.thread_id is 'The thread.';
create table pgstate.usage_run (
  agent_id int not null,
  run_id bigint not null,
  constraint usage_run_pkey primary key (run_id, agent_id),
  constraint usage_run_run_fkey foreign key (run_id) references pgstate.run (id) on delete cascade
);
create index usage_run_agent_idx on pgstate.usage_run (agent_id);
alter table pgstate.usage_run enable row level security;
comment on table pgstate.usage_run is 'Runs that hold something of an agent with a quota.';
comment on column pgstate.usage_run.agent_id is 'The agent.';
comment on column pgstate.usage_run.run_id is 'The run.';
comment on column pgstate.quota.bytes is 'Size of their values, and of what it wrote in threads and runs; null for any.';
comment on column pgstate.quota.writes_per_minute is 'Versions and calls of put_writes() in a minute of the clock; null for any number.';
comment on table pgstate.usage is 'What agents with a quota have used, in parts that add up. What others overwrite, what threads and runs do not hold any more, and what expires is taken off when it is counted anew.';
comment on column pgstate.usage.bytes is 'Size of their values, and of what is in threads and runs.';
comment on column pgstate.usage.writes is 'Versions in that minute, and what else counts as a write.';

-- Denials that the audit trail leaves out, since there were too many of an agent in a minute: counted here, until maintain() adds how many
-- they were to the trail. In parts that add up, as usage is: who is denied waits for nobody, and holds nobody up.
create sequence pgstate.denied_count_id_seq;

create table pgstate.denied_count (
  id bigint not null default pg_catalog.nextval('pgstate.denied_count_id_seq'),
  minute timestamptz not null,
  agent text collate "C",
  via text not null,
  denials bigint not null,
  constraint denied_count_pkey primary key (id)
) with (fillfactor = 50);
alter sequence pgstate.denied_count_id_seq owned by pgstate.denied_count.id;
create index denied_count_idx on pgstate.denied_count (via, minute);
alter table pgstate.denied_count enable row level security;
comment on table pgstate.denied_count is 'Denials that the audit trail does not have one by one, in parts that add up, until it has how many they were.';
comment on column pgstate.denied_count.id is 'Number of the part.';
comment on column pgstate.denied_count.minute is 'When they were: the minute of the clock.';
comment on column pgstate.denied_count.agent is 'Who was denied; null for a gateway that may not act for whom it named.';
comment on column pgstate.denied_count.via is 'The database login.';
comment on column pgstate.denied_count.denials is 'How many, of this part.';
comment on sequence pgstate.denied_count_id_seq is 'Numbers of parts of denied_count.';
