-- Null when the ranges alone decide: everything, one key, a subtree, or what is below a key.
create function pgstate._pattern_regex(p_pattern text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_regex text := p_pattern;
begin
  if p_pattern in ('', '**') or p_pattern !~ '[*?]' or p_pattern ~ E'^[^*?]+/(?:\\*/)?\\*\\*$' then
    return null;
  elsif p_pattern ~ E'^[^*?]+/\\*$' then
    -- the most frequent one, without the replacements
    return '^' || regexp_replace(left(p_pattern, -1), '([.+])', E'\\\\\\1', 'g') || '[^/]*$';
  end if;
  -- letters that keys cannot hold stand for the parts, so that no replacement touches another's result
  v_regex := regexp_replace(v_regex, E'(^|/)(?:\\*\\*/)+', E'\\1**/', 'g');
  v_regex := regexp_replace(v_regex, '([.+])', E'\\\\\\1', 'g');
  v_regex := regexp_replace(v_regex, E'/\\*\\*(?=/|$)', '<', 'g');
  v_regex := regexp_replace(v_regex, E'^\\*\\*(?=<|$)', '#', 'g');
  v_regex := regexp_replace(v_regex, E'^\\*\\*/', '>', 'g');
  v_regex := replace(replace(v_regex, '*', '[^/]*'), '?', '[^/]');
  v_regex := replace(replace(replace(v_regex, '<', '(?:/.*)?'), '>', '(?:.*/)?'), '#', '.*');
  return '^' || v_regex || '$';
end
$$;
comment on function pgstate._pattern_regex(text) is 'Internal: regular expression of a pattern, null when its ranges decide alone.';
