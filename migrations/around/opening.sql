-- Begins a run. `set local`, so that a pooled connection and the rest of a psql session stay as they were; within somebody's
-- own transaction the closing puts the settings back. A role that is set does not count: who connected migrates. The timeouts
-- go because the lock is waited for as long as another run takes; transaction_timeout there is from 17 on. A script is UTF-8,
-- whatever the terminal is that psql runs in. A schema of that name which holds anything else is not ours to fill, nor can one
-- be led on that a restore has brought half of.
do $before$
begin
  perform pg_catalog.set_config('pgstate.before', (
    select pg_catalog.json_object_agg(s.name, pg_catalog.current_setting(s.name))::pg_catalog.text
      from pg_catalog.unnest(array['search_path', 'statement_timeout', 'lock_timeout', 'transaction_timeout',
        'idle_in_transaction_session_timeout', 'client_min_messages', 'standard_conforming_strings', 'check_function_bodies',
        'row_security', 'quote_all_identifiers', 'plpgsql.extra_errors', 'client_encoding', 'role']) s(name)
     where pg_catalog.current_setting(s.name, true) is not null), true);
  if pg_catalog.current_setting('transaction_timeout', true) is not null then
    perform pg_catalog.set_config('transaction_timeout', '0', true);
  end if;
end
$before$;
reset role;
set local search_path = pg_catalog, pg_temp;
set local statement_timeout = 0;
set local lock_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local client_min_messages = warning;
set local standard_conforming_strings = on;
set local check_function_bodies = on;
set local row_security = on;
set local quote_all_identifiers = off;
set local plpgsql.extra_errors = 'none';
set local client_encoding = 'UTF8';
do $opening$
declare
  v_owner text;
  v_empty boolean;
  v_grantee text;
begin
  perform pg_catalog.pg_advisory_xact_lock({lock});
  if exists (
    select from pg_catalog.pg_class
    where relname = 'alembic_version' and relnamespace = pg_catalog.to_regnamespace('pgstate')
  ) then
    select pg_catalog.pg_get_userbyid(c.relowner) into v_owner from pg_catalog.pg_class c
     where c.relname = 'install' and c.relnamespace = pg_catalog.to_regnamespace('pgstate');
    if v_owner <> 'pgstate_owner' and pg_catalog.to_regrole('pgstate_owner') is not null then
      raise exception 'the tables of the schema "pgstate" are those of %, and not of pgstate_owner, as after a restore with --no-owner', v_owner
        using errcode = 'invalid_schema_definition',
          hint = 'Nothing was changed. Functions act with the rights of their owners: restore again with those, after drop schema pgstate cascade, with which goes what was written since.';
    end if;
    if v_owner = 'pgstate_owner' and not pg_catalog.pg_has_role(current_user, v_owner, 'MEMBER') and exists (
      select from pg_catalog.pg_class c
       where c.relname = 'alembic_version' and c.relnamespace = pg_catalog.to_regnamespace('pgstate')
         and c.relowner = pg_catalog.to_regrole(pg_catalog.quote_ident(current_user)))
    then
      raise exception 'the role % installed pgstate, and is no member of pgstate_owner, as where pg_dumpall of PostgreSQL 15 brought the roles into a later server', current_user
        using errcode = 'insufficient_privilege', hint = pg_catalog.format(
          'Nothing was changed. A superuser brings them by the later pg_dumpall --roles-only, for those of agents too, and grants '
          'pgstate_owner, pgstate_api, pgstate_agent, pgstate_reader to %I with admin option.', current_user);
    end if;
    if v_owner is not null then
      begin
        execute 'select not exists (select from pgstate.alembic_version)' into v_empty;
      exception when insufficient_privilege then
        -- told by what comes to need it
        null;
      end;
      if v_empty then
        raise exception 'the schema "pgstate" is here without what was in its tables, as after a restore with --schema-only'
          using errcode = 'invalid_schema_definition',
            hint = 'Nothing was changed. Restore its data too (pg_dump --data-only), or drop schema pgstate cascade and migrate.';
      end if;
    end if;
    return;
  end if;
  if pg_catalog.current_setting('server_encoding') <> 'UTF8' then
    raise exception 'this database has the encoding %, and pgstate needs UTF8: values are JSON, which may hold any character',
      pg_catalog.current_setting('server_encoding')
      using errcode = 'feature_not_supported',
        hint = 'Install it into a database of its own: create database ... encoding ''UTF8'' template template0';
  end if;
  if exists (
    select from pg_catalog.pg_depend
    where refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
      and refobjid = pg_catalog.to_regnamespace('pgstate')
  ) then
    raise exception 'a schema "pgstate" that pgstate did not make is in this database'
      using errcode = 'duplicate_schema', hint = 'Rename it, or install pgstate into another database.';
  end if;
  if pg_catalog.to_regnamespace('pgstate') is null then
    if not {create_schema} then
      raise exception 'there is no schema "pgstate" in this database'
        using errcode = 'invalid_schema_name', hint = pg_catalog.format(
          'Somebody who may: create schema pgstate authorization %I', current_user);
    end if;
    create schema pgstate;
    -- those of default privileges: who may make something here may overload what others call
    for v_grantee in
      select distinct coalesce('"' || pg_catalog.replace(r.rolname, '"', '""') || '"', 'public')
        from pg_catalog.pg_namespace n cross join pg_catalog.aclexplode(n.nspacl) a left join pg_catalog.pg_roles r on r.oid = a.grantee
       where n.nspname = 'pgstate' and a.grantee <> n.nspowner
    loop
      execute 'revoke all on schema pgstate from ' || v_grantee;
    end loop;
  end if;
  perform pg_catalog.set_config('pgstate.installs', 'on', true);
  if not (pg_catalog.has_schema_privilege(current_user, 'pgstate', 'CREATE WITH GRANT OPTION')
    and pg_catalog.has_schema_privilege(current_user, 'pgstate', 'USAGE WITH GRANT OPTION'))
  then
    raise exception 'the role % may not pass on rights on the schema "pgstate"', current_user
      using errcode = 'insufficient_privilege', hint = pg_catalog.format(
        'Its owner: grant usage, create on schema pgstate to %I with grant option', current_user);
  end if;
end
$opening$;
