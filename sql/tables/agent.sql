create sequence pgstate.agent_id_seq as int;

create table pgstate.agent (
  id int not null default pg_catalog.nextval('pgstate.agent_id_seq'),
  name text collate "C" not null,
  root boolean not null default false,
  created_at timestamptz not null default pg_catalog.now(),
  grouping boolean not null default false,
  trust pgstate.trust not null default 'agent',
  suspended_at timestamptz,
  suspended_by text,
  constraint agent_pkey primary key (id),
  constraint agent_name_key unique (name),
  -- a name is one key segment, because {agent} in a grant stands for it; 'pgstate' signs expiry
  constraint agent_name_form check (name ~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' and name not in ('.', '..', 'pgstate'))
);
alter sequence pgstate.agent_id_seq owned by pgstate.agent.id;
comment on table pgstate.agent is 'Who acts: the identity that grants, writers and claims name.';
comment on column pgstate.agent.root is 'Registered by the installation, with all rights, which cannot be revoked.';
comment on column pgstate.agent.grouping is 'A group of agents, to which rights are granted; it never acts.';
comment on column pgstate.agent.trust is 'The most that what it writes is trusted.';
comment on column pgstate.agent.suspended_at is 'Since when it is nobody; null if it is not suspended.';
comment on column pgstate.agent.suspended_by is 'The agent that suspended it.';
comment on column pgstate.agent.id is 'Number, never given again.';
comment on column pgstate.agent.name is 'Unique; one segment of a key.';
comment on column pgstate.agent.created_at is 'When it was registered.';
comment on sequence pgstate.agent_id_seq is 'Numbers of agents.';
