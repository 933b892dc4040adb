create function pgstate._cursor(p_epoch int) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return '1.' || pgstate._feed_place(p_epoch) || '.' || pgstate._snapshot(p_epoch);
end
$$;
comment on function pgstate._cursor(int) is 'Internal: a cursor for the calling statement''s snapshot.';
