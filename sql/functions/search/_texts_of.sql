-- What is embedded of a value, a text each: strings as they are, anything else as JSON. Null for nothing.
create function pgstate._texts_of(p_value jsonb, p_fields text[]) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(case jsonb_typeof(x.item) when 'string' then x.item #>> '{}' else x.item::text end order by x.ord)
      from jsonb_array_elements(pgstate._fields_of(p_value, p_fields)) with ordinality as x (item, ord)
     where x.item not in ('null', '""'));
end
$$;
comment on function pgstate._texts_of(jsonb, text[]) is 'Internal: the texts of a value that get a vector.';
