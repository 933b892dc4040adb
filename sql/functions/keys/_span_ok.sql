-- A ttl or a lease: positive, at most a hundred years, and so by each of its fields, because comparing takes a month for 30
-- days and adding does not.
create function pgstate._span_ok(p_span interval) returns boolean
language plpgsql immutable
as $$
begin
  return p_span is null or p_span > interval '0' and p_span <= interval '36525 days'
     and pg_catalog.date_part('year', p_span) between 0 and 100 and pg_catalog.date_part('month', p_span) >= 0
     and pg_catalog.date_part('day', p_span) between 0 and 36525 and pg_catalog.date_part('hour', p_span) >= 0;
end
$$;
comment on function pgstate._span_ok(interval) is 'Internal: is this a possible ttl or lease?';
