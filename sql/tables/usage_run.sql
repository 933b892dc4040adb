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
