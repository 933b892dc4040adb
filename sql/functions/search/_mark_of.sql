-- What the words of a directory are marked with in the index of a rule.
create function pgstate._mark_of(p_rule_id int, p_dir text) returns text
language sql immutable
as $$
  select pg_catalog.left(pg_catalog.md5(p_rule_id || ':' || p_dir), 12)
$$;
comment on function pgstate._mark_of(int, text) is 'Internal: the mark of a directory in the index for search.';
