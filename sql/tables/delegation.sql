create table pgstate.delegation (
  login text collate "C" not null,
  agent_id int not null,
  created_at timestamptz not null default pg_catalog.now(),
  -- what a gateway's calls ask for, so that they read one row: as in login
  agent_name text collate "C" not null,
  reads pgstate.keymultirange,
  writes pgstate.keymultirange,
  touches pgstate.keymultirange,
  -- until its agent's reach has been copied
  folded_until timestamptz default '-infinity',
  quota boolean not null default false,
  trust pgstate.trust not null default 'agent',
  constraint delegation_pkey primary key (login, agent_id),
  constraint delegation_name_key unique (agent_name, login),
  constraint delegation_login_fkey foreign key (login) references pgstate.login (login) on delete cascade,
  constraint delegation_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
-- as in reach
alter table pgstate.delegation
  alter column reads set storage external,
  alter column writes set storage external,
  alter column touches set storage external;
comment on table pgstate.delegation is 'Which agents a gateway may act for.';
comment on column pgstate.delegation.login is 'The gateway.';
comment on column pgstate.delegation.agent_id is 'The agent that it may act for.';
comment on column pgstate.delegation.created_at is 'When it was delegated.';
comment on column pgstate.delegation.agent_name is 'Its name.';
comment on column pgstate.delegation.reads is 'Cache, with writes and touches: as in reach.';
comment on column pgstate.delegation.writes is 'Cache: as in reach.';
comment on column pgstate.delegation.touches is 'Cache: as in reach.';
comment on column pgstate.delegation.folded_until is 'When the next of the grants ends, from when on these ranges are not looked at; null for never.';
comment on column pgstate.delegation.quota is 'There is a quota: without one, writes need not look for it.';
comment on column pgstate.delegation.trust is 'Cache: that of the agent.';
