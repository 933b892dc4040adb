create table pgstate.group_member (
  group_id int not null,
  agent_id int not null,
  added_by text not null,
  added_at timestamptz not null default pg_catalog.now(),
  constraint group_member_pkey primary key (group_id, agent_id),
  constraint group_member_group_fkey foreign key (group_id) references pgstate.agent (id) on delete cascade,
  constraint group_member_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
create index group_member_agent_idx on pgstate.group_member (agent_id);
alter table pgstate.group_member enable row level security;
comment on table pgstate.group_member is 'Which agents are in which groups: what is granted or denied to a group holds for each of them.';
comment on column pgstate.group_member.group_id is 'The group.';
comment on column pgstate.group_member.agent_id is 'The agent, which is no group.';
comment on column pgstate.group_member.added_by is 'The agent that added it.';
comment on column pgstate.group_member.added_at is 'When it was added.';
