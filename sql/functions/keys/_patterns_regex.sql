create function pgstate._patterns_regex(p_patterns text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_exact boolean := true;
  v_parts text[] := '{}';
  v_pattern text;
  v_regex text;
begin
  foreach v_pattern in array p_patterns loop
    v_regex := pgstate._pattern_regex(v_pattern);
    if v_regex is not null then
      v_exact := false;
    elsif v_pattern in ('', '**') then
      return null;
    else
      v_regex := regexp_replace(v_pattern, '([.+])', E'\\\\\\1', 'g');
      v_regex := '^' || regexp_replace(regexp_replace(v_regex, E'/\\*/\\*\\*$', '/.+'), E'/\\*\\*$', '(?:/.*)?') || '$';
    end if;
    v_parts := v_parts || v_regex;
  end loop;
  return case when v_exact then null else array_to_string(v_parts, '|') end;
end
$$;
comment on function pgstate._patterns_regex(text[]) is 'Internal: one regular expression for any of the patterns, null when their ranges decide alone.';
