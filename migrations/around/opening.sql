-- Begins a run. `set local`, so that a pooled connection and the rest of a psql session stay as they were; within somebody's
-- own transaction the closing puts the settings back. A role that is set does not count: who connected migrates. The timeouts
-- go because the lock is waited for as long as another run takes. A schema of that name which holds anything else is not ours
-- to fill.
do $before$
begin
  perform pg_catalog.set_config('pgstate.before', (
    select pg_catalog.json_object_agg(s.name, pg_catalog.current_setting(s.name))::text
      from pg_catalog.unnest(array['search_path', 'statement_timeout', 'lock_timeout', 'client_min_messages',
        'standard_conforming_strings', 'check_function_bodies', 'role']) s(name)), true);
end
$before$;
reset role;
set local search_path = pg_catalog, pg_temp;
set local statement_timeout = 0;
set local lock_timeout = 0;
set local client_min_messages = warning;
set local standard_conforming_strings = on;
set local check_function_bodies = on;
do $opening$
begin
  perform pg_catalog.pg_advisory_xact_lock({lock});
  if exists (
    select from pg_catalog.pg_class
    where relname = 'alembic_version' and relnamespace = pg_catalog.to_regnamespace('pgstate')
  ) then
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
  end if;
  if not (pg_catalog.has_schema_privilege(current_user, 'pgstate', 'CREATE WITH GRANT OPTION')
    and pg_catalog.has_schema_privilege(current_user, 'pgstate', 'USAGE WITH GRANT OPTION'))
  then
    raise exception 'the role % may not pass on rights on the schema "pgstate"', current_user
      using errcode = 'insufficient_privilege', hint = pg_catalog.format(
        'Its owner: grant usage, create on schema pgstate to %I with grant option', current_user);
  end if;
end
$opening$;
