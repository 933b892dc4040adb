-- A query for the words of one directory, whose matches are more than those of the query: what must not occur is left out, and
-- neighbours need only both occur. querytree() leaves out the first; in what it writes every word stands in quotes. Null when
-- no word is certain to occur, or one is too long to be marked.
create function pgstate._scoped_query(p_query tsquery, p_mark text) returns tsquery
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_tree text := querytree(p_query);
  v_text text := '';
  v_token text;
begin
  if v_tree in ('', 'T') then
    return null;
  end if;
  for v_token in select (regexp_matches(v_tree, $re$'(?:[^'\\]|''|\\.)*'|<(?:-|[0-9]+)>|[^'<]+$re$, 'g'))[1] loop
    v_text := v_text || case when v_token like '''%' then '''' || p_mark || substr(v_token, 2) when v_token like '<%' then '&' else v_token end;
  end loop;
  return (format('(%s) | %L', v_text, p_mark))::tsquery;
exception when program_limit_exceeded then
  return null;
end
$$;
comment on function pgstate._scoped_query(tsquery, text) is 'Internal: a query for the marked words of a directory, of which the query''s matches are a part.';
