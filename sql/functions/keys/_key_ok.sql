-- Keys are 1 to 512 bytes of ASCII segments; '.' and '..' are refused because people read keys as paths.
create function pgstate._key_ok(p_key text) returns boolean
language plpgsql immutable parallel safe
as $$
begin
  return p_key ~ '^[A-Za-z0-9._~:@=+,%-]+(?:/[A-Za-z0-9._~:@=+,%-]+)*$'
     and pg_catalog.octet_length(p_key) <= 512
     and (pg_catalog.strpos(p_key, '.') = 0 or p_key !~ E'(?:^|/)\\.\\.?(?:/|$)');
end
$$;
comment on function pgstate._key_ok(text) is 'Internal: is this a valid key?';
