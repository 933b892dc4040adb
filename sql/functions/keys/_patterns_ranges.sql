create function pgstate._patterns_ranges(p_patterns text[]) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_pattern text;
begin
  if p_patterns is null or cardinality(p_patterns) = 0 then
    raise exception using errcode = 'PS002', message = 'no pattern', hint = 'An empty pattern ('''') means everything.';
  end if;
  foreach v_pattern in array p_patterns loop
    perform pgstate._check_pattern(v_pattern);
  end loop;
  if cardinality(p_patterns) = 1 then
    return pgstate._pattern_ranges(p_patterns[1]);
  end if;
  return (select range_agg(r) from unnest(p_patterns) p, unnest(pgstate._pattern_ranges(p)) r);
end
$$;
comment on function pgstate._patterns_ranges(text[]) is 'Internal: key ranges that hold every match of any of the patterns.';
