create function pgstate.set_policy(
  subtree text, reducer text default null, ttl interval default null, keep text default null, value_limit int default null,
  schema jsonb default null, agent text default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_policy(pgstate._enter(set_policy.agent), set_policy.subtree, set_policy.reducer, set_policy.ttl, set_policy.keep,
                              set_policy.value_limit, set_policy.schema);
end
$$;
comment on function pgstate.set_policy(text, text, interval, text, int, jsonb, text) is
  'Rules for a key, a subtree (research/**) or everything (**): what is given is set, the rest stays as it is; for each key the nearest subtree that sets something decides it. reducer: default of merge(). ttl: of what is written without one, 0 for none. keep: history, as everything, 100 versions or an interval. value_limit: bytes, at most the installation''s. schema: JSON Schema that values written from now on must fit, of these keywords: type enum const properties required additionalProperties propertyNames items prefixItems minItems maxItems uniqueItems minProperties maxProperties minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf anyOf allOf oneOf not, $ref to #/$defs, and annotations. Needs admin on all of the subtree. PS002 PS005 PS007 PS010.';
