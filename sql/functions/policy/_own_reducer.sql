-- The function behind a registered name, if it is still what was registered. Its owner could replace it, and it runs with
-- the rights of pgstate_api: so the body counts, not the name.
create function pgstate._own_reducer(p_name text) returns regprocedure
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select p.oid
            from pgstate.reducer r
            join pg_namespace n on n.nspname = r.function_schema
            join pg_proc p on p.pronamespace = n.oid and p.proname = r.function_name
                              and p.proargtypes = '3802 3802'::oidvector and pgstate._function_digest(p.oid) = r.digest
           where r.name = p_name);
end
$$;
comment on function pgstate._own_reducer(text) is 'Internal: a registered reducer''s function, null when there is none or it has changed.';
