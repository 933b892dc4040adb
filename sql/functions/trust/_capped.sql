-- What the policies let an agent's trust be on a key: asked only where there are any.
create function pgstate._capped(p_trust pgstate.trust, p_key text) returns pgstate.trust
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return least(p_trust, (pgstate._policy_of(p_key)).trust);
end
$$;
comment on function pgstate._capped(pgstate.trust, text) is 'Internal: the trust of an agent, at most what the policies of a key allow.';
