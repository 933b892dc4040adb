-- Patterns for reading: * within a segment, ** (a whole segment) across segments, ? one character; a/b/** includes a/b.
create function pgstate._check_pattern(p_pattern text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_pattern is null
     or p_pattern <> '' and (
       p_pattern !~ '^[A-Za-z0-9._~:@=+,%*?-]+(?:/[A-Za-z0-9._~:@=+,%*?-]+)*$'
       or octet_length(p_pattern) > 512
       or p_pattern ~ E'(?:^|/)\\.\\.?(?:/|$)'
       or p_pattern ~ E'[^/]\\*\\*|\\*\\*[^/]'
       -- the cost of a regular expression grows with them
       or p_pattern ~ '(?:[*?]+[^*?]*){17}')
  then
    raise exception using errcode = 'PS002', message = format('invalid pattern %L', pgstate._shown(p_pattern)),
      hint = 'A pattern is a key with * (within a segment), ? (one character) or ** (a whole segment, any depth), 16 of these characters at most; an empty pattern means everything.';
  end if;
end
$$;
comment on function pgstate._check_pattern(text) is 'Internal: raises PS002 for an invalid pattern.';
