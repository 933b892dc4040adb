-- A path into a value: names joined by dots, each perhaps with [3] or [*] behind; a backslash takes the next character
-- literally (a\.b is one name). $ is the value itself. Steps are names as JSON strings, [3] and [*]: as a jsonpath has them.
create function pgstate._path_steps(p_path text) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_steps text[] := '{}';
  v_token text;
begin
  if p_path = '$' then
    return v_steps;
  elsif p_path !~ E'^(?:[^].[\\\\]|\\\\.)+(?:\\[(?:\\*|[0-9]{1,6})\\])*(?:\\.(?:[^].[\\\\]|\\\\.)+(?:\\[(?:\\*|[0-9]{1,6})\\])*)*$' or octet_length(p_path) > 1024
        or p_path is null then
    raise exception using errcode = 'PS007', message = format('invalid path %L', pgstate._shown(p_path)),
      hint = E'A path is names joined by dots, such as author.name, tags[0] or items[*].text; \\. is a dot within a name, $ the value itself.';
  end if;
  for v_token in select (regexp_matches(p_path, E'\\[[*0-9]+\\]|(?:[^].[\\\\]|\\\\.)+', 'g'))[1] loop
    v_steps := v_steps || case when v_token like '[%' then regexp_replace(v_token, '^.0+([0-9])', E'[\\1')
                               else '.' || to_json(regexp_replace(v_token, E'\\\\(.)', E'\\1', 'g'))::text end;
  end loop;
  if cardinality(v_steps) > 32 then
    raise exception using errcode = 'PS007', message = 'a path has 32 steps at most';
  end if;
  return v_steps;
end
$$;
comment on function pgstate._path_steps(text) is 'Internal: steps of a path into a value. PS007.';
