-- What a value does not have is unknown to a jsonpath, and so would be its opposite. The predicate stands in it twice: of one
-- within the other that doubles each time, so its length is looked at here and not at the end.
create function pgstate._filter_not(p_predicate text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(p_predicate) > 524288 then
    raise exception using errcode = 'PS007', message = 'the filter has too many $not, $ne and $nin within each other';
  end if;
  return format('((%s) is unknown || !(%s))', p_predicate, p_predicate);
end
$$;
comment on function pgstate._filter_not(text) is 'Internal: the opposite of a predicate of a jsonpath. PS007.';
