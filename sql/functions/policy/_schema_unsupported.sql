create function pgstate._schema_unsupported(p_schema jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_fault text;
begin
  if p_schema is null then
    return 'no schema';
  elsif pg_column_size(p_schema) > 65536 then
    return 'a schema takes 64 KiB at most';
  end if;
  v_fault := pgstate._schema_fault(p_schema, p_schema, '#', 0);
  if v_fault is null then
    -- a $ref that comes back to itself without going into the value would never end
    with recursive node as materialized (
      select '#' as name, pgstate._schema_refs(p_schema) as refs
      union all
      select '#/' || w || '/' || replace(replace(d.key, '~', '~0'), '/', '~1'), pgstate._schema_refs(d.value)
        from unnest(array['$defs', 'definitions']) w, jsonb_each(case when jsonb_typeof(p_schema) = 'object' then coalesce(p_schema -> w, '{}') else '{}' end) d
    ), reached (start, name) as (
      select n.name, r from node n, unnest(n.refs) r
      union
      select x.start, r from reached x join node n on n.name = x.name cross join unnest(n.refs) r
    )
    select format('%s: its $ref leads back to itself', min(x.start)) into v_fault from reached x where x.start = x.name having count(*) > 0;
  end if;
  return v_fault;
end
$$;
comment on function pgstate._schema_unsupported(jsonb) is 'Internal: why a JSON Schema cannot be a policy''s, naming keyword and path; null when it can.';
