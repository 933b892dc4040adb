-- The ranges that hold every match. DEL sorts after every character of a key. By the type's input: see _range().
create function pgstate._pattern_ranges(p_pattern text) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  -- no pattern holds these, which would end a bound: one that has not been checked yet does no harm
  v_pattern text := translate(p_pattern, E'"\\', '');
  v_stem text;
begin
  if v_pattern in ('', '**') then
    return '{(,)}'::pgstate.keymultirange;
  elsif translate(v_pattern, '*?', '') = v_pattern then
    return ('{["' || v_pattern || '","' || v_pattern || '"]}')::pgstate.keymultirange;
  end if;
  v_stem := left(v_pattern, -3);
  if v_pattern = v_stem || '/**' and translate(v_stem, '*?', '') = v_stem then
    return ('{["' || v_stem || '","' || v_stem || '"],["' || v_stem || '/","' || v_stem || '0")}')::pgstate.keymultirange;
  end if;
  v_stem := substring(v_pattern from '^[^*?]*');
  if v_pattern = v_stem || '*/**' and right(v_stem, 1) = '/' then
    -- everything below a key
    return multirange(pgstate._range(v_stem, left(v_stem, -1) || '0'));
  elsif v_pattern ~ E'^[^*?]+/\\*\\*(?:/\\*\\*)+$' then
    -- a/**/** includes a
    v_stem := left(v_stem, -1);
  elsif v_stem = '' then
    return '{(,)}'::pgstate.keymultirange;
  end if;
  return multirange(pgstate._range(v_stem, v_stem || chr(127)));
end
$$;
comment on function pgstate._pattern_ranges(text) is 'Internal: key ranges that hold every key which the pattern matches.';
