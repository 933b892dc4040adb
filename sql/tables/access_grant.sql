create table pgstate.access_grant (
  agent_id int not null,
  subtree text collate "C" not null,
  "right" text not null,
  granted_by text not null,
  granted_at timestamptz not null default pg_catalog.now(),
  constraint access_grant_pkey primary key (agent_id, subtree, "right"),
  constraint access_grant_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade,
  constraint access_grant_right_known check ("right" in ('read', 'write', 'admin'))
);
comment on table pgstate.access_grant is 'Rights of agents on keys and subtrees; {agent} as a segment stands for the agent''s name.';
comment on column pgstate.access_grant.agent_id is 'Who may.';
comment on column pgstate.access_grant.subtree is 'A key, or a/b/**; {agent} stands for the agent''s name.';
comment on column pgstate.access_grant."right" is 'read, write or admin.';
comment on column pgstate.access_grant.granted_by is 'The agent that granted it.';
comment on column pgstate.access_grant.granted_at is 'When it was granted.';
