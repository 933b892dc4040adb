create function pgstate.drop_policy(subtree text, settings text[] default null, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_policy(pgstate._enter(drop_policy.agent), drop_policy.subtree, drop_policy.settings);
end
$$;
comment on function pgstate.drop_policy(text, text[], text) is 'Takes the policy on a key or subtree away, or only some of its settings (reducer, ttl, keep, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes); what a wider subtree sets holds then. Needs admin on all of the subtree. PS002 PS007 PS010.';
