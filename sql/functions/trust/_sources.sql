-- Sources as callers give them, keys or objects of key and version: a null key is one that is not well formed.
create function pgstate._sources(p_sources jsonb) returns table (ord bigint, key text, version bigint)
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select u.ord, case when pgstate._key_ok(k.key) and (u.item ->> 'version' is null or jsonb_typeof(u.item -> 'version') = 'number' and u.item ->> 'version' ~ '^[0-9]{1,18}$')
                       then k.key end,
           case when jsonb_typeof(u.item -> 'version') = 'number' and u.item ->> 'version' ~ '^[0-9]{1,18}$' then (u.item ->> 'version')::bigint end
      from jsonb_array_elements(p_sources) with ordinality u (item, ord)
     cross join lateral (
       select case jsonb_typeof(u.item) when 'string' then u.item #>> '{}' when 'object' then case when jsonb_typeof(u.item -> 'key') = 'string' then u.item ->> 'key' end end as key) k;
end
$$;
comment on function pgstate._sources(jsonb) is 'Internal: sources of a value, taken apart.';
