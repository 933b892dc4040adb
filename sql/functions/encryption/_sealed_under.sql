-- The id of the key that a payload names, of its first element where there are several. Whoever may write can write anything: no bytes
-- make this fail. In SQL, so that it is inlined, and only the beginning is read.
create function pgstate._sealed_under(p_type text, p_data bytea) returns bytea
language sql immutable
as $$
  select case when pg_catalog.octet_length(p_data) > 2 and not p_type ^@ '+' then pg_catalog.substr(p_data, 3, pg_catalog.get_byte(pg_catalog.substr(p_data, 2, 1), 0))
              when pg_catalog.octet_length(p_data) > 6 then pg_catalog.substr(p_data, 7, pg_catalog.get_byte(pg_catalog.substr(p_data, 6, 1), 0))
              else '' end
$$;
comment on function pgstate._sealed_under(text, bytea) is 'Internal: the id of the key that a payload is sealed under.';
