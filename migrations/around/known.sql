-- In a script that finds out itself where the database is.
create table if not exists pgstate.alembic_version (
  version_num varchar(32) not null,
  constraint alembic_version_pkc primary key (version_num)
);
do $known$
begin
  if exists (select from pgstate.alembic_version v where v.version_num not in ({known})) then
    raise exception 'the database was migrated by a newer pgstate: upgrade the package';
  end if;
end
$known$;
