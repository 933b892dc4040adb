-- Which agent acts: decided by session_user, which no SET, SET ROLE or SECURITY DEFINER changes. The settings only choose
-- among the agents that this login may act for: a gateway's delegated ones, or any for the role that installed. A ticket is looked
-- at each time: a setting can be forged, also between a function and the policies under it. Nobody acts as one that is suspended:
-- the short ways miss it, by folded_until.
-- A view, so that the rule stands once, but for the short ways of _reachable_through() and the functions that begin a call; the owner's functions alone read it.
create or replace view pgstate._acting_any as
select a.id as agent_id
  from (
    select case when s.said is null or not (l.gateway or l.root) then l.agent_id
                when l.root then (select a.id from pgstate.agent a where a.name = n.name)
                else (select d.agent_id from pgstate.agent a join pgstate.delegation d on d.agent_id = a.id
                       where a.name = n.name and d.login = l.login)
           end as agent_id
      from pgstate.login l
      cross join lateral (
        select coalesce(nullif(pg_catalog.current_setting('pgstate.call_agent', true), ''),
                        nullif(pg_catalog.current_setting('pgstate.agent', true), '')) as said) s
      cross join lateral (
        select case when pg_catalog.strpos(s.said, '/') > 0 then pgstate._ticket_agent(s.said) when not l.tickets then s.said end as name) n
     where l.login = session_user::text) who
  join pgstate.agent a on a.id = who.agent_id and a.suspended_at is null;
comment on view pgstate._acting_any is 'Internal: the acting agent, by name or ticket.';
comment on column pgstate._acting_any.agent_id is 'Its number; null if this login may not act for whom it names.';
