create table pgstate.login (
  login text collate "C" not null,
  agent_id int,
  gateway boolean not null default false,
  root boolean not null default false,
  created_at timestamptz not null default pg_catalog.now(),
  -- what most calls ask for, so that they read one row: the agent's name, and its reach as in the table of that name
  agent_name text collate "C",
  reads pgstate.keymultirange,
  writes pgstate.keymultirange,
  touches pgstate.keymultirange,
  folded_until timestamptz,
  quota boolean not null default false,
  trust pgstate.trust not null default 'agent',
  tickets boolean not null default false,
  constraint login_pkey primary key (login),
  constraint login_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint login_is_one_thing check ((agent_id is null) = gateway and not (root and gateway))
);
-- as in reach
alter table pgstate.login
  alter column reads set storage external,
  alter column writes set storage external,
  alter column touches set storage external;
comment on column pgstate.login.root is 'The login that installed: may act for any agent.';
comment on table pgstate.login is 'Database logins that pgstate knows: an agent''s own, or a gateway that acts for the agents delegated to it.';
comment on column pgstate.login.reads is 'Cache, with writes and touches: the reach of the login''s own agent; null for a gateway.';
comment on column pgstate.login.login is 'The database role.';
comment on column pgstate.login.agent_id is 'The agent whose login it is; null for a gateway.';
comment on column pgstate.login.gateway is 'Acts for the agents delegated to it.';
comment on column pgstate.login.created_at is 'When it was registered.';
comment on column pgstate.login.agent_name is 'Cache: the name of agent_id.';
comment on column pgstate.login.writes is 'Cache: as in reach.';
comment on column pgstate.login.touches is 'Cache: as in reach.';
comment on column pgstate.login.folded_until is 'When the next of the grants ends, from when on these ranges are not looked at; null for never.';
comment on column pgstate.login.quota is 'There is a quota: without one, writes need not look for it.';
comment on column pgstate.login.trust is 'Cache: that of the agent.';
comment on column pgstate.login.tickets is 'A gateway that names agents by tickets alone.';
