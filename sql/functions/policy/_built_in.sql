create function pgstate._built_in(p_reducer text) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(p_reducer, '') in ('replace', 'append', 'add', 'max', 'min', 'union', 'merge', 'deep_merge', 'messages', 'first');
end
$$;
comment on function pgstate._built_in(text) is 'Internal: is this the name of a built-in reducer?';
