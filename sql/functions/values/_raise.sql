create function pgstate._raise(p_code text, p_key text, p_message text default null) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if p_code = 'PS010' then
    perform pgstate._deny();
  elsif p_code = 'PS001' then
    perform pgstate._bad_key(p_key);
  end if;
  raise exception using errcode = p_code, message = coalesce(p_message, pgstate._error_text(p_code, p_key));
end
$$;
comment on function pgstate._raise(text, text, text) is 'Internal: raises a refused row as an error.';
