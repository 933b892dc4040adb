-- Every table and view before anything is touched, all or none: a run that holds some and waits for others would make writers
-- wait for as long as somebody keeps a transaction open, and end in deadlocks with them. The order is that of the functions:
-- who calls, then what is written. A try that fails gives its locks back, and those who queued behind it go on. Autovacuum gives
-- way to who has waited for deadlock_timeout, which a try does not, and to a lock that keeps nobody else waiting and is kept, so
-- that it does not come back; one that is to prevent wraparound gives way to nobody.
do $locks$
declare
  v_until constant timestamptz := pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => {seconds});
  v_before constant text := pg_catalog.current_setting('lock_timeout');
  v_name text;
  v_who text;
  v_pid int;
  v_gid text;
begin
  loop
    for v_name in
      select distinct c.oid::pg_catalog.regclass::text from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
        join pg_catalog.pg_stat_activity a on a.pid = l.pid
       where l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) and l.granted
         and c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind = 'r' and a.usesysid is null
    loop
      begin
        perform pg_catalog.set_config('lock_timeout', least({try_ms} + pg_catalog.date_part('epoch',
          pg_catalog.current_setting('deadlock_timeout')::interval) * 1000, 2147483647) || 'ms', true);
        set local role pgstate_owner;
        execute pg_catalog.format('lock table %s in share update exclusive mode', v_name);
      exception when lock_not_available or deadlock_detected then
        null;
      end;
      reset role;
    end loop;
    begin
      perform pg_catalog.set_config('lock_timeout', '{try_ms}ms', true);
      set local role pgstate_owner;
      for v_name in
        select c.oid::pg_catalog.regclass::text from pg_catalog.pg_class c
         where c.relnamespace = 'pgstate'::pg_catalog.regnamespace and c.relkind in ('r', 'p', 'v')
           and c.relowner = current_user::pg_catalog.regrole
         order by case c.relname when '_acting' then 1 when 'login' then 2 when 'entry' then 5 when 'version' then 6
                    when 'claim' then 7 when 'watcher' then 8 else case c.relkind when 'v' then 4 else 3 end end, c.relname
      loop
        execute pg_catalog.format('lock table %s in access exclusive mode', v_name);
      end loop;
      exit;
    exception when lock_not_available or deadlock_detected then
      reset role;
      if pg_catalog.clock_timestamp() > v_until then
        select pg_catalog.min(a.pid), pg_catalog.string_agg(pg_catalog.format('process %s (%s)', a.pid,
            pg_catalog.concat_ws(', ', coalesce('login ' || a.usename, 'autovacuum'), nullif(a.application_name, ''), a.state,
              'in a transaction since ' || pg_catalog.to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS'))), '; ')
          into v_pid, v_who
          from pg_catalog.pg_stat_activity a
         where a.pid <> pg_catalog.pg_backend_pid() and a.pid in (
           select l.pid from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
            where l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
              and c.relnamespace = 'pgstate'::pg_catalog.regnamespace and l.granted);
        -- a prepared transaction has no process, and stays until somebody ends it
        select pg_catalog.min(p.gid), pg_catalog.concat_ws('; ', v_who, pg_catalog.string_agg(pg_catalog.format('the prepared transaction %L (of %s, since %s)',
            p.gid, p.owner, pg_catalog.to_char(p.prepared, 'YYYY-MM-DD HH24:MI:SS')), '; '))
          into v_gid, v_who
          from pg_catalog.pg_prepared_xacts p
         where p.transaction in (
           select t.transactionid from pg_catalog.pg_locks t join pg_catalog.pg_locks l on l.virtualtransaction = t.virtualtransaction
             join pg_catalog.pg_class c on c.oid = l.relation
            where t.locktype = 'transactionid' and t.pid is null and l.pid is null and l.granted
              and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
              and c.relnamespace = 'pgstate'::pg_catalog.regnamespace);
        raise exception 'gave up after {seconds} s of waiting for %: in use by %', v_name, coalesce(nullif(v_who, ''), 'sessions that are gone now')
          using errcode = 'lock_not_available', hint = pg_catalog.format(
            'Nothing was changed. When those have ended their transactions, migrate again; to end one: '
            '%s. --lock-timeout (Python: lock_timeout) waits longer.', pg_catalog.concat_ws(', ',
              case when v_pid is not null or v_gid is null then pg_catalog.format('select pg_terminate_backend(%s)', coalesce(v_pid::text, 'its number')) end,
              'rollback prepared ' || pg_catalog.quote_literal(v_gid)));
      end if;
      perform pg_catalog.pg_sleep(0.1);
    end;
  end loop;
  perform pg_catalog.set_config('lock_timeout', v_before, true);
  reset role;
end
$locks$;
