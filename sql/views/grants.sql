create or replace view pgstate.grants with (security_invoker = true) as
select g.agent, g.subtree, g."right", g.granted_by, g.granted_at, g.deny, g.until from pgstate.grants() g;
comment on view pgstate.grants is 'Rights of agents on keys and subtrees; without admin on everything, only the reader''s own.';
comment on column pgstate.grants.agent is 'Who has the right.';
comment on column pgstate.grants.subtree is 'A key, a subtree (a/b/**) or ** for everything; {agent} stands for the agent''s name.';
comment on column pgstate.grants."right" is 'read, write or admin.';
comment on column pgstate.grants.granted_by is 'The agent that granted it.';
comment on column pgstate.grants.granted_at is 'When it was granted.';
comment on column pgstate.grants.deny is 'A denial, which wins over grants.';
comment on column pgstate.grants.until is 'When it ends by itself; null for never.';
