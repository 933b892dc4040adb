-- As _span_told(), of a time.
create function pgstate._time_told(p_at timestamptz) returns text
language plpgsql stable strict set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
begin
  return to_jsonb(p_at) #>> '{}';
end
$$;
comment on function pgstate._time_told(timestamptz) is 'Internal: a time as text that no setting changes.';
