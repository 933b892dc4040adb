create function pgstate._function_digest(p_function oid) returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select sha256(convert_to(row(p.prolang, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                       coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
            from pg_proc p where p.oid = p_function);
end
$$;
comment on function pgstate._function_digest(oid) is 'Internal: hash of what a function does.';
