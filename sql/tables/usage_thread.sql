-- Where what an agent with a quota has stored is looked for: an index over all that threads and runs hold could not be made in a
-- database in use without keeping writers waiting. No foreign key to the agent, as of usage.
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
