create function pgstate._rule_of(p_key text) returns pgstate.search_rule
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_rule pgstate.search_rule;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select r.* into v_rule from pgstate.search_rule r where r.subtree = any (v_subtrees) order by r.nearness desc limit 1;
  return v_rule;
end
$$;
comment on function pgstate._rule_of(text) is 'Internal: the rule for search that decides for a key.';
