-- Nothing that a dump and restore, or another version of PostgreSQL, changes: the oid of a language is one such thing.
create function pgstate._function_digest(p_function oid) returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  return (select sha256(convert_to(row(l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.prorettype, p.proconfig, p.probin,
                                       coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))::text, 'UTF8'))
            from pg_proc p join pg_language l on l.oid = p.prolang where p.oid = p_function);
end
$$;
comment on function pgstate._function_digest(oid) is 'Internal: hash of what a function does.';
