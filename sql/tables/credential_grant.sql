-- Which credentials an agent may have resolved, and for what. The credentials themselves are never here: an application's
-- resolver has them.
create table pgstate.credential_grant (
  agent_id int not null,
  name text collate "C" not null,
  purpose text collate "C" not null,
  granted_by text not null,
  granted_at timestamptz not null,
  constraint credential_grant_pkey primary key (agent_id, name, purpose),
  constraint credential_grant_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
alter table pgstate.credential_grant enable row level security;
comment on table pgstate.credential_grant is 'Credentials that agents may have resolved, by the names in their handles, and for what.';
comment on column pgstate.credential_grant.agent_id is 'The agent.';
comment on column pgstate.credential_grant.name is 'As in $CRED{name}; * for any.';
comment on column pgstate.credential_grant.purpose is 'For what; * for anything.';
comment on column pgstate.credential_grant.granted_by is 'The agent that allowed it.';
comment on column pgstate.credential_grant.granted_at is 'When.';
