-- Errors go into the server's log and other people's: the rules hold for these too, whatever the guard. Before it is cut, since half a
-- secret is one still.
create function pgstate._shown(p_text text, p_length int default 80) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return left(pgstate._redact(left(p_text, 10000)), p_length);
end
$$;
comment on function pgstate._shown(text, int) is 'Internal: what was given, as an error may show it: cut, and without secrets.';
