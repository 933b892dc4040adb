-- The ranges that hold every match. DEL sorts after every character of a key.
create function pgstate._pattern_ranges(p_pattern text) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_stem text;
begin
  if p_pattern in ('', '**') then
    return pgstate.keymultirange(pgstate.keyrange(null, null, '()'));
  elsif translate(p_pattern, '*?', '') = p_pattern then
    return pgstate.keymultirange(pgstate.keyrange(p_pattern, p_pattern, '[]'));
  end if;
  v_stem := left(p_pattern, -3);
  if p_pattern = v_stem || '/**' and translate(v_stem, '*?', '') = v_stem then
    return pgstate.keymultirange(pgstate.keyrange(v_stem, v_stem, '[]'), pgstate.keyrange(v_stem || '/', v_stem || '0', '[)'));
  end if;
  v_stem := substring(p_pattern from '^[^*?]*');
  if p_pattern = v_stem || '*/**' and right(v_stem, 1) = '/' then
    -- everything below a key
    return pgstate.keymultirange(pgstate.keyrange(v_stem, left(v_stem, -1) || '0', '[)'));
  elsif p_pattern ~ E'^[^*?]+/\\*\\*(?:/\\*\\*)+$' then
    -- a/**/** includes a
    v_stem := left(v_stem, -1);
  elsif v_stem = '' then
    return pgstate.keymultirange(pgstate.keyrange(null, null, '()'));
  end if;
  return pgstate.keymultirange(pgstate.keyrange(v_stem, v_stem || chr(127), '[)'));
end
$$;
comment on function pgstate._pattern_ranges(text) is 'Internal: key ranges that hold every key which the pattern matches.';
