-- The grants of one agent folded into multiranges when they change: building them per statement costs 216 us at 200 grants.
create table pgstate.reach (
  agent_id int not null,
  reads pgstate.keymultirange not null default '{}',
  writes pgstate.keymultirange not null default '{}',
  admins pgstate.keymultirange not null default '{}',
  touches pgstate.keymultirange not null default '{}',
  folded_until timestamptz,
  quota boolean not null default false,
  trust pgstate.trust not null default 'agent',
  constraint reach_pkey primary key (agent_id),
  constraint reach_agent_fkey foreign key (agent_id) references pgstate.agent (id) on delete cascade
);
-- never compressed: a compressed multirange is decompressed for every row that a policy looks at
alter table pgstate.reach
  alter column reads set storage external,
  alter column writes set storage external,
  alter column admins set storage external,
  alter column touches set storage external;
comment on table pgstate.reach is 'Cache of access_grant: what each agent reaches with each right.';
comment on column pgstate.reach.touches is 'reads and writes together: what row-level security lets the API functions see for this agent.';
comment on column pgstate.reach.agent_id is 'Whose reach it is.';
comment on column pgstate.reach.reads is 'Ranges of keys that it may read.';
comment on column pgstate.reach.writes is 'Ranges of keys that it may write.';
comment on column pgstate.reach.admins is 'Ranges of keys inside which it may grant and set policies.';
comment on column pgstate.reach.folded_until is 'When the next of the grants ends, from when on these ranges are not looked at; null for never.';
comment on column pgstate.reach.quota is 'There is a quota: without one, writes need not look for it.';
comment on column pgstate.reach.trust is 'Cache: that of the agent.';
