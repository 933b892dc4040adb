create table pgstate.access_grant (
  agent_id int not null,
  subtree text collate "C" not null,
  "right" text not null,
  granted_by text not null,
  granted_at timestamptz not null default pg_catalog.now(),
  deny boolean not null default false,
  until timestamptz,
  constraint access_grant_pkey primary key (agent_id, subtree, "right", deny),
  constraint access_grant_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint access_grant_right_known check ("right" in ('read', 'write', 'admin'))
);
comment on table pgstate.access_grant is 'Rights of agents on keys and subtrees; {agent} as a segment stands for the agent''s name.';
comment on column pgstate.access_grant.agent_id is 'Who may, or a group of agents.';
comment on column pgstate.access_grant.deny is 'May not, whatever is granted.';
comment on column pgstate.access_grant.until is 'When it ends by itself; null for never.';
comment on column pgstate.access_grant.subtree is 'A key, or a/b/**; {agent} stands for the agent''s name.';
comment on column pgstate.access_grant."right" is 'read, write or admin.';
comment on column pgstate.access_grant.granted_by is 'The agent that granted it.';
comment on column pgstate.access_grant.granted_at is 'When it was granted.';
