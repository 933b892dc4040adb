-- What a watch or a read of the feed asks for. The two patterns that nearly all of them have are taken to pieces here and
-- without regular expressions, the slowest thing that there is after a pause: it is on the way from a write to its watchers.
create function pgstate._wanted(p_patterns text[]) returns pgstate._wanted
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_pattern text := p_patterns[1];
begin
  if cardinality(p_patterns) = 1 and octet_length(v_pattern) <= 512 and left(v_pattern, 1) <> '/' and strpos(v_pattern, '//') = 0
     and translate(v_pattern, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-~:@=,%', '') in ('*', '**') then
    if right(v_pattern, 3) = '/**' then
      return row(('{["' || left(v_pattern, -3) || '","' || left(v_pattern, -3) || '"],["' || left(v_pattern, -2) || '","' || left(v_pattern, -3)
                  || '0")}')::pgstate.keymultirange, null)::pgstate._wanted;
    elsif right(v_pattern, 2) = '/*' then
      return row(multirange(pgstate._range(left(v_pattern, -1), left(v_pattern, -2) || '0')),
                 '^' || left(v_pattern, -1) || '[^/]*$')::pgstate._wanted;
    end if;
  end if;
  return row(pgstate._patterns_ranges(p_patterns), pgstate._patterns_regex(p_patterns))::pgstate._wanted;
end
$$;
comment on function pgstate._wanted(text[]) is 'Internal: ranges and regular expression of patterns. PS002.';
