-- A filter becomes a jsonpath once, and a value is then looked at in C: in plpgsql it would be the cost of a search.
-- Whoever calls matches() calls it.
create function pgstate._filter_path(p_filter jsonb) returns jsonpath
language plpgsql immutable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_path text;
begin
  if p_filter is null or p_filter = '{}' then
    return null;
  elsif octet_length(p_filter::text) > 65536 then
    raise exception using errcode = 'PS007', message = 'a filter has 64 kB at most';
  end if;
  v_path := pgstate._filter_text(p_filter, '$', 0);
  if octet_length(v_path) > 1048576 then
    raise exception using errcode = 'PS007', message = 'the filter has too many $not, $ne and $nin within each other';
  end if;
  return ('strict ' || v_path)::jsonpath;
end
$$;
comment on function pgstate._filter_path(jsonb) is 'Internal: a filter as a jsonpath, null when it lets everything pass. PS007.';
