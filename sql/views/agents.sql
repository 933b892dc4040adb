-- These three are the functions of the same names, which decide what the caller may see.
create or replace view pgstate.agents with (security_invoker = true) as
select a.name, a.login, a.gateways, a.root, a.created_at, a.trust, a.suspended_at from pgstate.agents() a;
comment on view pgstate.agents is 'The registered agents; without admin on everything, only the reader itself.';
comment on column pgstate.agents.name is 'The agent.';
comment on column pgstate.agents.login is 'Its own database login, if it has one.';
comment on column pgstate.agents.gateways is 'Logins that may act for it.';
comment on column pgstate.agents.root is 'Registered by the installation, with all rights, which cannot be revoked.';
comment on column pgstate.agents.created_at is 'When it was registered.';
comment on column pgstate.agents.trust is 'The most that what it writes is trusted.';
comment on column pgstate.agents.suspended_at is 'Since when it is suspended: nobody acts as it.';
