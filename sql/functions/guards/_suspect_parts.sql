-- Quick, before anything is looked at closely: of what comes in parts the names (more: those that are in no array), the metadata, and the
-- JSON. In an array's binary form the length of an element stands before it, and may look like a letter: JSON begins with none, messages of
-- errors are looked at in any case. What is escaped may be anything, see _guarded_bytes(). The simpler expression first, as in
-- _may_be_secret(). Its callers pin the search_path.
create function pgstate._suspect_parts(p_names text[], p_types text[], p_data bytea[], p_metadata jsonb default null, p_more text default null) returns boolean
language plpgsql stable
as $$
declare
  v_text text := coalesce(array_to_string(p_names, ' '), '') || ' ' || coalesce(p_metadata::text, '') || coalesce(' ' || p_more, '')
                 || case when p_types && array['json', '+json'] then encode(array_send(p_data), 'escape') else '' end;
begin
  return v_text ~ (pgstate._secret_shape() || E'|\\\\[/u]') and (' ' || v_text) ~ (pgstate._secret_hint() || E'|\\\\[/u]')
         or coalesce('error' = any (p_types), false);
end
$$;
comment on function pgstate._suspect_parts(text[], text[], bytea[], jsonb, text) is 'Internal: may there be a secret in names, metadata, or the JSON of serialized data?';
