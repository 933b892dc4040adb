-- For the write path, once it knows from install.policies that there are any. As the owner: a policy holds for whoever writes.
create function pgstate._policy_of(p_key text) returns pgstate._policy
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_policy pgstate._policy;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select (array_agg(p.reducer order by p.nearness desc) filter (where p.reducer is not null))[1],
         nullif((array_agg(p.ttl order by p.nearness desc) filter (where p.ttl is not null))[1], interval '0'),
         (array_agg(p.value_limit order by p.nearness desc) filter (where p.value_limit is not null))[1],
         (array_agg(p.schema order by p.nearness desc) filter (where p.schema is not null))[1],
         (array_agg(p.guard order by p.nearness desc) filter (where p.guard is not null))[1],
         (array_agg(p.trust order by p.nearness desc) filter (where p.trust is not null))[1]
    into v_policy
    from pgstate.policy p where p.subtree = any (v_subtrees);
  return v_policy;
end
$$;
comment on function pgstate._policy_of(text) is 'Internal: what the policies say of a key.';
