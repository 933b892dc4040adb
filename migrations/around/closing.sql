-- Ends a run. Default privileges may have opened the version table. After a restore elsewhere the change feed must begin a new
-- epoch (_settle_identity), whether or not there was anything to migrate, and what logical replication has brought since may be
-- ahead of its sequences. What is there now is the first past that can be named by a time (_record_point, from revision 0002
-- on). At revision "base" nothing remains.
reset role;
do $closing$
declare
  v_left bigint := 0;
  v_before json;
begin
  if pg_catalog.to_regclass('pgstate.alembic_version') is not null then
    revoke all on table pgstate.alembic_version from public;
    select pg_catalog.count(*) into v_left from pgstate.alembic_version;
  end if;
  if v_left > 0 and pg_catalog.to_regprocedure('pgstate._settle_identity()') is not null
    and pg_catalog.pg_has_role(current_user, 'pgstate_owner', 'MEMBER') then
    set local role pgstate_owner;
    perform pgstate._settle_identity();
    if pg_catalog.to_regprocedure('pgstate._settle_sequences()') is not null then
      perform pgstate._settle_sequences();
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
