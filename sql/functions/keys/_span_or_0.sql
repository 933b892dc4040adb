-- 0 by each of its fields, as in _span_ok(): a month less 30 days is equal to it, and moves a time.
create function pgstate._span_or_0(p_span interval) returns boolean
language plpgsql immutable
as $$
begin
  return pgstate._span_ok(p_span)
      or p_span = interval '0' and pg_catalog.date_part('year', p_span) = 0 and pg_catalog.date_part('month', p_span) = 0
         and pg_catalog.date_part('day', p_span) = 0;
end
$$;
comment on function pgstate._span_or_0(interval) is 'Internal: is this a possible ttl or lease, or 0?';
