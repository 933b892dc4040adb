create function pgstate._guard_of(p_actor pgstate._actor, p_key text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return coalesce(case when p_actor.policies then (pgstate._policy_of(p_key)).guard end, 'refuse');
end
$$;
comment on function pgstate._guard_of(pgstate._actor, text) is 'Internal: what becomes of secrets under a key: refuse, redact or off.';
