-- What a value contains (@>) if it fits a filter: the fields that are to be equal to a scalar. To ask for that first costs a
-- third of what the jsonpath does, which then has few values to look at. Null when there is nothing to ask for.
create function pgstate._filter_scalars(p_filter jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_object_agg(f.key, e.value)
      from jsonb_each(p_filter) f
      cross join lateral (select case when jsonb_typeof(f.value) = 'object' then f.value -> '$eq' else f.value end as value) e
     -- one name, as _path_steps() reads it
     where translate(f.key, E'$.[]\\', '') = f.key and jsonb_typeof(e.value) not in ('object', 'array'));
end
$$;
comment on function pgstate._filter_scalars(jsonb) is 'Internal: what all values that fit a filter contain.';
