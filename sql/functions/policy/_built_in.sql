create function pgstate._built_in(variadic p_reducers text[]) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(p_reducers <@ array['replace', 'append', 'add', 'max', 'min', 'union', 'merge', 'deep_merge', 'messages', 'first'], false);
end
$$;
comment on function pgstate._built_in(text[]) is 'Internal: are these names of built-in reducers?';
