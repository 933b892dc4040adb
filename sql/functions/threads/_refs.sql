-- The hashes that a root or pages name. In SQL, so that it is inlined.
create function pgstate._refs(p_types text[], p_data bytea[]) returns setof bytea
language sql immutable
as $$
  select pg_catalog.substr(u.data, 16 * i + 1, 16)
    from rows from (pg_catalog.unnest(p_types), pg_catalog.unnest(p_data)) u (type, data)
    cross join pg_catalog.generate_series(0, pg_catalog.octet_length(u.data) / 16 - 1) i
   where u.type = '@' or u.type ^@ '#'
$$;
comment on function pgstate._refs(text[], bytea[]) is 'Internal: the chunks that a root or pages name.';
