-- Ends a run. Default privileges may have opened the version table. After a restore elsewhere the change feed must begin a new
-- epoch (_settle_identity), whether or not there was anything to migrate, and what logical replication has brought since may be
-- ahead of its sequences. Who owns the schema is its administrator, though renamed since, or another than who installed. What is
-- there now is the first past that can be named by a time (_record_point, from revision 0002 on). At revision "base" nothing
-- remains.
reset role;
do $closing$
declare
  v_left bigint := 0;
  v_agent int;
  v_before json;
  v_grantee text;
begin
  if pg_catalog.to_regclass('pgstate.alembic_version') is not null then
    revoke all on table pgstate.alembic_version from public;
    for v_grantee in
      select distinct '"' || pg_catalog.replace(r.rolname, '"', '""') || '"'
        from pg_catalog.pg_class c cross join pg_catalog.aclexplode(c.relacl) a join pg_catalog.pg_roles r on r.oid = a.grantee
       where c.oid = 'pgstate.alembic_version'::pg_catalog.regclass and a.grantee <> c.relowner and a.privilege_type <> 'SELECT'
         -- later somebody may have meant it
         and pg_catalog.current_setting('pgstate.installs', true) = 'on'
    loop
      execute 'revoke all on table pgstate.alembic_version from ' || v_grantee;
    end loop;
    select pg_catalog.count(*) into v_left from pgstate.alembic_version;
  end if;
  if v_left > 0 and pg_catalog.to_regprocedure('pgstate._settle_identity()') is not null
    and pg_catalog.pg_has_role(current_user, 'pgstate_owner', 'MEMBER') then
    set local role pgstate_owner;
    perform pgstate._settle_identity();
    if pg_catalog.to_regprocedure('pgstate._settle_sequences()') is not null then
      perform pgstate._settle_sequences();
      insert into pgstate.login (login, agent_id, root)
      select session_user, a.id, true from pgstate.agent a
       where a.root and (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'pgstate') = pg_catalog.to_regrole(pg_catalog.quote_ident(session_user))
          on conflict do nothing returning agent_id into v_agent;
      if v_agent is not null then
        perform pgstate._fold_grants(v_agent);
      end if;
    end if;
    if pg_catalog.to_regprocedure('pgstate._record_point()') is not null then
      perform pgstate._record_point();
    end if;
    reset role;
  end if;
  if v_left = 0 then
    drop table if exists pgstate.alembic_version;
    -- not somebody else's
    if {create_schema} then
      drop schema pgstate;
    end if;
  end if;
  v_before := pg_catalog.current_setting('pgstate.before')::json;
  perform pg_catalog.set_config(b.key, b.value, true)
     from pg_catalog.json_each_text(v_before) b;
end
$closing$;
