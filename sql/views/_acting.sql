-- Which agent acts: decided by session_user, which no SET, SET ROLE or SECURITY DEFINER changes. The settings only choose
-- among the agents that this login may act for: a gateway's delegated ones, or any for the role that installed. Names alone, and
-- not for a gateway that takes none: where nobody is found, _acting_any looks for a ticket, which would cost all others 5 us.
-- A view, so that the rule stands once and is planned into the lookups of every policy; the owner's functions alone read it.
create or replace view pgstate._acting as
select case when n.name is null or not (l.gateway or l.root) then l.agent_id
            when l.root then (select a.id from pgstate.agent a where a.name = n.name)
            else (select d.agent_id from pgstate.agent a join pgstate.delegation d on d.agent_id = a.id
                   where a.name = n.name and d.login = l.login)
       end as agent_id
  from pgstate.login l
  cross join lateral (
    select coalesce(nullif(pg_catalog.current_setting('pgstate.call_agent', true), ''),
                    nullif(pg_catalog.current_setting('pgstate.agent', true), '')) as name) n
 where l.login = session_user::text and not l.tickets;
comment on view pgstate._acting is 'Internal: the acting agent, by name.';
comment on column pgstate._acting.agent_id is 'Its number; null if this login may not act for whom it names.';
