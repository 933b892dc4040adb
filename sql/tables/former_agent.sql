-- Names stay with what was written under them: an agent that came to the name of a dropped one would read its private
-- memory/{agent}/** and pass for it in the history. So these names are taken again only by who says so.
create table pgstate.former_agent (
  name text collate "C" not null,
  dropped_at timestamptz not null default pg_catalog.now(),
  dropped_by text not null,
  constraint former_agent_pkey primary key (name)
);
alter table pgstate.former_agent enable row level security;
comment on table pgstate.former_agent is 'Names of agents that were dropped, and of none that is there now.';
comment on column pgstate.former_agent.dropped_by is 'The agent that dropped it.';
comment on column pgstate.former_agent.name is 'The name, taken again only with reuse.';
comment on column pgstate.former_agent.dropped_at is 'When it was dropped.';
