create function pgstate._keep_of(p_key text) returns pgstate._keep
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_keep pgstate._keep;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select p.keep_versions, p.keep_age into v_keep
    from pgstate.policy p
   where p.subtree = any (v_subtrees) and num_nonnulls(p.keep_versions, p.keep_age, p.keep_everything) > 0
   order by p.nearness desc limit 1;
  return v_keep;
end
$$;
comment on function pgstate._keep_of(text) is 'Internal: how much of a key''s history the policies keep.';
