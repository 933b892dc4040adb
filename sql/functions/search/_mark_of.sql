-- What the words of a directory are marked with in the index of a rule. With the rule's salt, so that nobody can find a name of
-- a directory that has the mark of another.
create function pgstate._mark_of(p_salt text, p_dir text) returns text
language sql immutable
as $$
  select pg_catalog.left(pg_catalog.md5(p_salt || p_dir), 8)
$$;
comment on function pgstate._mark_of(text, text) is 'Internal: the mark of a directory in the index for search.';
