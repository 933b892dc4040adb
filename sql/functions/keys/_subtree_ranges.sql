-- Grants name one key or a/b/**; {agent} as a segment stands for the agent's name.
create function pgstate._subtree_ranges(p_subtree text, p_agent text) returns pgstate.keymultirange
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  v_subtree text := array_to_string(array(
    select case when s = '{agent}' then p_agent else s end
      from unnest(string_to_array(p_subtree, '/')) with ordinality as t (s, n) order by n), '/');
begin
  if v_subtree = '**' then
    return pgstate._pattern_ranges('**');
  elsif v_subtree is null or not pgstate._key_ok(regexp_replace(v_subtree, E'/\\*\\*$', '')) then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'Rights are granted on one key, on a subtree such as research/**, or on ** for everything; {agent} may stand for a segment. Other wildcards are for reading.';
  end if;
  return pgstate._pattern_ranges(v_subtree);
end
$$;
comment on function pgstate._subtree_ranges(text, text) is 'Internal: key ranges of a granted subtree for one agent. PS002 when it is not a key or a subtree.';
