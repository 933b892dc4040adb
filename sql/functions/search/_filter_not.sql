-- What a value does not have is unknown to a jsonpath, and so would be its opposite.
create function pgstate._filter_not(p_predicate text) returns text
language sql immutable
as $$
  select pg_catalog.format('((%s) is unknown || !(%s))', p_predicate, p_predicate)
$$;
comment on function pgstate._filter_not(text) is 'Internal: the opposite of a predicate of a jsonpath.';
