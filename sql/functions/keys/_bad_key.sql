create function pgstate._bad_key(p_key text) returns void
language plpgsql immutable
as $$
begin
  raise exception using errcode = 'PS001', message = pg_catalog.format('invalid key %L', pgstate._shown(p_key)),
    hint = 'A key is 1 to 512 bytes: segments of A-Z a-z 0-9 . _ ~ : @ = + , % - joined by /, none empty, . or ..; quote other text with pgstate.key().';
end
$$;
comment on function pgstate._bad_key(text) is 'Internal: raises PS001.';
