-- The words of a value: of its strings and numbers, not of the names of its fields. A tsvector holds 1 MB, a value may have
-- more words: then its beginning is what can be found.
create function pgstate._words(p_config text, p_fields text[], p_value jsonb) returns tsvector
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  v_config regconfig := pgstate._config(p_config);
  v_text jsonb := pgstate._fields_of(p_value, p_fields);
begin
  return jsonb_to_tsvector(v_config, v_text, '["string", "numeric"]');
exception when program_limit_exceeded then
  return to_tsvector(v_config, left(v_text::text, 65536));
end
$$;
comment on function pgstate._words(text, text[], jsonb) is 'Internal: the words of a value, as search finds them.';
