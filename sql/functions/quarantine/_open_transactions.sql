-- What an agent has under way: transactions of its login, of a gateway that may act for it, or of the login that installed, which may act
-- for any, that have called us. Whoever was let in before the suspension was committed holds a lock on a table of ours, since looking who
-- acts takes one, and may write and commit for as long as it takes: what is not told here does nothing as the agent. Locks and sessions are
-- visible to everybody, but for what they do.
create function pgstate._open_transactions(p_agent_id int) returns setof pgstate.open_transaction
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    with logins as materialized (
      select l.login, l.root from pgstate.login l where l.agent_id = p_agent_id or l.root
      union select d.login, false from pgstate.delegation d where d.agent_id = p_agent_id
    ), calling as materialized (
      select l.pid, max(l.virtualtransaction) as xact
        from pg_locks l
       where l.locktype = 'relation' and l.database = (select d.oid from pg_database d where d.datname = current_database())
         and l.relation in (select c.oid from pg_class c where c.relnamespace = 'pgstate'::regnamespace)
       group by l.pid
    )
    select s.pid, s.usename::text, null::text, k.xact
      from pg_stat_activity s join calling k on k.pid = s.pid
     where s.datname = current_database() and s.usename::text in (select l.login from logins l) and s.pid <> pg_backend_pid()
    union all
    -- of the role that was set when it was prepared, such as the one that all agents' logins are members of; who installed may be a member of
    -- the logins that it made, too
    select null, x.owner::text, x.gid, null
      from pg_prepared_xacts x join pg_roles o on o.rolname = x.owner
     where x.database = current_database()
       and exists (select from logins l join pg_roles r on r.rolname = l.login where r.oid = o.oid or pg_has_role(r.oid, o.oid, 'MEMBER') and not (r.rolsuper or l.root and o.rolcanlogin));
end
$$;
comment on function pgstate._open_transactions(int) is 'Internal: transactions of an agent that are not over.';
