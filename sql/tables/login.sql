create table pgstate.login (
  login text collate "C" not null,
  agent_id int,
  gateway boolean not null default false,
  root boolean not null default false,
  created_at timestamptz not null default pg_catalog.now(),
  constraint login_pkey primary key (login),
  constraint login_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint login_is_one_thing check ((agent_id is null) = gateway and not (root and gateway))
);
comment on column pgstate.login.root is 'The login that installed: may act for any agent.';
comment on table pgstate.login is 'Database logins that pgstate knows: an agent''s own, or a gateway that acts for the agents delegated to it.';
