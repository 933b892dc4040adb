-- How a request tells of an interval, whatever the style of the session: the same request is sent again from another.
create function pgstate._span_told(p_span interval) returns text
language plpgsql stable strict set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres'
as $$
begin
  return p_span::text;
end
$$;
comment on function pgstate._span_told(interval) is 'Internal: an interval as text that no setting changes.';
