-- Apart from _policy_of(), which is on the way of every write.
create function pgstate._claim_rules_of(p_key text) returns pgstate._claim_rules
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_rules pgstate._claim_rules;
  v_subtrees text[] := pgstate._subtrees_of(p_key);
begin
  select (array_agg(p.max_attempts order by p.nearness desc) filter (where p.max_attempts is not null))[1],
         (array_agg(p.backoff order by p.nearness desc) filter (where p.backoff is not null))[1],
         (array_agg(p.backoff_limit order by p.nearness desc) filter (where p.backoff_limit is not null))[1],
         (array_agg(p.dead_letter order by p.nearness desc) filter (where p.dead_letter is not null))[1],
         (array_agg(p.subtree order by p.nearness desc) filter (where p.dead_letter is not null))[1],
         (array_agg(p.claimed_writes order by p.nearness desc) filter (where p.claimed_writes is not null))[1]
    into v_rules
    from pgstate.policy p where p.subtree = any (v_subtrees);
  return v_rules;
end
$$;
comment on function pgstate._claim_rules_of(text) is 'Internal: what the policies say of claims of a key.';
