-- Which cluster and database this is: transaction ids mean something only together with it.
create function pgstate._identity() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select s.system_identifier || ':' || d.oid
            from pg_control_system() s, pg_database d where d.datname = current_database());
end
$$;
comment on function pgstate._identity() is 'Internal: system identifier and oid of this database.';
