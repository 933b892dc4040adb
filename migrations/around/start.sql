-- A script knows where it starts, and not the database that it will meet. Without this, one that has pgstate already would
-- refuse the first CREATE, with an error that tells nobody what to do. An online run looks for itself.
do $start$
declare
  v_start constant text := {start};
  v_end constant text := {end};
  v_at text;
begin
  if exists (
    select from pg_catalog.pg_class
    where relname = 'alembic_version' and relnamespace = pg_catalog.to_regnamespace('pgstate')
  ) then
    begin
      execute 'select version_num from pgstate.alembic_version' into v_at;
    exception when insufficient_privilege then
      raise exception 'pgstate is in this database already, installed by another role'
        using errcode = 'duplicate_schema',
          hint = 'Nothing was changed. Run "pgstate migrate" as the role that installed it.';
    end;
  end if;
  if v_at is not distinct from v_start then
    return;
  elsif v_at is null then
    raise exception 'pgstate is not in this database, and this script goes on from revision %', v_start
      using errcode = 'invalid_schema_name',
        hint = 'Nothing was changed. "pgstate migrate --sql" prints a script that installs it.';
  elsif v_at = v_end then
    raise exception 'pgstate is in this database already, at revision %, where this script leads', v_at
      using errcode = 'duplicate_schema', hint = 'Nothing was changed, and there is nothing to do.';
  end if;
  raise exception 'pgstate is in this database already, at revision %, and this script %', v_at,
      coalesce('goes on from revision ' || v_start, 'installs it')
    using errcode = 'duplicate_schema', hint = pg_catalog.format(
      'Nothing was changed. "pgstate migrate" goes on from there, or what '
      '"pgstate migrate --sql --from %s" prints.', v_at);
end
$start$;
