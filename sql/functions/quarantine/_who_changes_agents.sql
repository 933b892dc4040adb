-- Sessions, and what is prepared, that have locked rows of agents or of their delegations: sessions and locks on tables are visible to everybody.
create function pgstate._who_changes_agents() returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select string_agg(distinct coalesce(format('pid %s (%s)', s.pid, s.usename), format('prepared %L (%s)', x.gid, x.owner)), ', ')
      from pg_locks k
      left join pg_stat_activity s on s.pid = k.pid
      left join pg_prepared_xacts x on x.database = current_database() and k.virtualtransaction = '-1/' || x.transaction
     where k.locktype = 'relation' and k.database = (select d.oid from pg_database d where d.datname = current_database())
       and k.relation in ('pgstate.agent'::regclass, 'pgstate.delegation'::regclass) and k.mode <> 'AccessShareLock' and k.granted and k.pid is distinct from pg_backend_pid());
end
$$;
comment on function pgstate._who_changes_agents() is 'Internal: names transactions that have changed what agents may.';
