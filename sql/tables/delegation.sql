create table pgstate.delegation (
  login text collate "C" not null,
  agent_id int not null,
  created_at timestamptz not null default pg_catalog.now(),
  constraint delegation_pkey primary key (login, agent_id),
  constraint delegation_login_fkey foreign key (login) references pgstate.login (login) on delete cascade,
  constraint delegation_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
comment on table pgstate.delegation is 'Which agents a gateway may act for.';
comment on column pgstate.delegation.login is 'The gateway.';
comment on column pgstate.delegation.agent_id is 'The agent that it may act for.';
comment on column pgstate.delegation.created_at is 'When it was delegated.';
