create function pgstate._check_as_of(p_given int) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_given <> 1 then
    raise exception using errcode = 'PS007', message = 'as of what? Give one of version (of one key), cursor and at (a time)';
  end if;
end
$$;
comment on function pgstate._check_as_of(int) is 'Internal: raises PS007 unless one past state is named.';
