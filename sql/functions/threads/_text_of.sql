-- Whoever may write there sent it, and need not have sent text: that must not keep anybody from reading the rest.
create function pgstate._text_of(p_data bytea) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  return convert_from(p_data, 'UTF8');
exception when data_exception then
  return encode(p_data, 'escape');
end
$$;
comment on function pgstate._text_of(bytea) is 'Internal: the message of an error; what is no text, in escapes.';
