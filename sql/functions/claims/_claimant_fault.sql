create function pgstate._claimant_fault(p_actor pgstate._actor, p_key text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return case when p_key is null or not pgstate._key_ok(p_key) then 'PS001'
              when not (p_actor.reads @> p_key and p_actor.writes @> p_key) then 'PS010' end;
end
$$;
comment on function pgstate._claimant_fault(pgstate._actor, text) is 'Internal: what _check_claimant() would raise, for set-based calls.';
