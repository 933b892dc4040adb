-- Has the database been restored in place since the epoch began? As the owner: the feed's functions read no such table.
create function pgstate._restored() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.table_oid is distinct from i.tableoid from pgstate.install i);
end
$$;
comment on function pgstate._restored() is 'Internal: has the database been restored in place, and not written to since?';
