-- What a watch or a read of the feed asks for. The two patterns that nearly all of them have are taken to pieces here, since
-- every expression on the way from a write to its watchers counts.
create function pgstate._wanted(p_patterns text[]) returns pgstate._wanted
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_pattern text := p_patterns[1];
begin
  if cardinality(p_patterns) = 1 and octet_length(v_pattern) <= 512
     and v_pattern ~ '^(?:[A-Za-z0-9_~:@=+,%-][A-Za-z0-9._~:@=+,%-]*/)+\*{1,2}$' then
    return case when right(v_pattern, 2) = '**'
      then row(pgstate.keymultirange(pgstate.keyrange(left(v_pattern, -3), left(v_pattern, -3), '[]'),
                                     pgstate.keyrange(left(v_pattern, -2), left(v_pattern, -3) || '0', '[)')), null)::pgstate._wanted
      else row(pgstate.keymultirange(pgstate.keyrange(left(v_pattern, -1), left(v_pattern, -2) || '0', '[)')),
               '^' || regexp_replace(left(v_pattern, -1), '([.+])', '\\\1', 'g') || '[^/]*$')::pgstate._wanted end;
  end if;
  return row(pgstate._patterns_ranges(p_patterns), pgstate._patterns_regex(p_patterns))::pgstate._wanted;
end
$$;
comment on function pgstate._wanted(text[]) is 'Internal: ranges and regular expression of patterns. PS002.';
