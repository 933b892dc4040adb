create function pgstate.set_policy(
  subtree text, reducer text default null, ttl interval default null, keep text default null, value_limit int default null,
  schema jsonb default null, agent text default null, max_attempts int default null, backoff interval default null,
  backoff_limit interval default null, dead_letter text default null, claimed_writes boolean default null,
  guard text default null, trust text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_policy(pgstate._enter(set_policy.agent), set_policy.subtree, set_policy.reducer, set_policy.ttl, set_policy.keep,
                              set_policy.value_limit, set_policy.schema, set_policy.max_attempts, set_policy.backoff,
                              set_policy.backoff_limit, set_policy.dead_letter, set_policy.claimed_writes, set_policy.guard,
                              set_policy.trust);
end
$$;
comment on function pgstate.set_policy(text, text, interval, text, int, jsonb, text, int, interval, interval, text, boolean, text, text) is
  'Rules for a key, a subtree (research/**) or everything (**): what is given is set, the rest stays as it is; for each key the nearest subtree that sets something decides it. reducer: default of merge(). ttl: of what is written without one, 0 for none. keep: history, as everything, 100 versions or an interval. value_limit: bytes, at most the installation''s. schema: JSON Schema that values written from now on must fit, of these keywords: type enum const properties required additionalProperties propertyNames items prefixItems minItems maxItems uniqueItems minProperties maxProperties minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf anyOf allOf oneOf not, $ref to #/$defs, and annotations. max_attempts: how often work is claimed in vain before it is given up, backoff and backoff_limit: the pause after its first failure, and the longest; dead_letter: the subtree (tasks/dead) that it is moved to then; claimed_writes: claimed entries may be written without the token. guard: what becomes of writes that hold a secret (keys of clouds and model providers, tokens, private keys, connection strings with passwords): refuse (which holds without a policy), redact, or off. trust: the most that what is written there is trusted, whoever writes it: external, agent, verified or operator. Needs admin on all of the subtree, and on that of dead_letter. PS002 PS005 PS007 PS010 PS060.';
