-- What an agent has under way: transactions of its login, or of a gateway that may act for it, that have written something, or wait to.
-- Whoever began before the suspension may still commit. Locks and sessions are visible to everybody, but for what they do.
-- A statement locks the tables that it writes before it takes its snapshot: one that has none yet sees a suspension that is committed
-- by now, and the policies refuse it. So what is not told here writes nothing as the agent.
create function pgstate._open_transactions(p_agent_id int) returns setof pgstate.open_transaction
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    with logins as materialized (
      select l.login from pgstate.login l where l.agent_id = p_agent_id
      union select d.login from pgstate.delegation d where d.agent_id = p_agent_id
    )
    select s.pid, s.usename::text, null::text, k.xact
      from pg_stat_activity s
      cross join lateral (
        select max(l.virtualtransaction) as xact
          from pg_locks l
         where l.pid = s.pid
           and (l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' or not l.granted
                or l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.database = s.datid
                   and l.relation in (select c.oid from pg_class c where c.relnamespace = 'pgstate'::regnamespace))) k
     where s.datname = current_database() and s.usename::text in (select l.login from logins l) and s.pid <> pg_backend_pid() and k.xact is not null
    union all
    -- of the role that was set when it was prepared, such as the one that all agents' logins are members of
    select null, x.owner::text, x.gid, null
      from pg_prepared_xacts x join pg_roles o on o.rolname = x.owner
     where x.database = current_database()
       and exists (select from logins l join pg_roles r on r.rolname = l.login where r.oid = o.oid or pg_has_role(r.oid, o.oid, 'MEMBER') and not r.rolsuper);
end
$$;
comment on function pgstate._open_transactions(int) is 'Internal: transactions of an agent that have written and are not over.';
