create function pgstate._merge_messages(p_current jsonb, p_operand jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  -- a message keeps the place where its id first stood and has the content that came last; without an id, or with null,
  -- each is new
  return (
    select jsonb_agg(m.latest order by m.place)
      from (select min(e.n) as place, (array_agg(e.message order by e.n desc))[1] as latest
              from jsonb_array_elements(p_current || p_operand) with ordinality as e (message, n)
             group by coalesce(nullif(e.message -> 'id', 'null'), to_jsonb(e.n)), nullif(e.message -> 'id', 'null') is null) m);
end
$$;
comment on function pgstate._merge_messages(jsonb, jsonb) is 'Internal: appends messages, replacing those whose id is already there.';
