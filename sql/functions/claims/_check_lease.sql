create function pgstate._check_lease(p_lease interval) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_lease is null or not pgstate._span_ok(p_lease) or p_lease > interval '366 days' then
    raise exception using errcode = 'PS007', message = 'a lease is positive and at most 366 days';
  end if;
end
$$;
comment on function pgstate._check_lease(interval) is 'Internal: raises PS007 for an impossible lease.';
