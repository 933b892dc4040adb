create function pgstate._claimed_by(p_agent text) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return array(select c.key from pgstate.claim c where c.holder = p_agent and c.lease_until > pgstate._now() order by c.key);
end
$$;
comment on function pgstate._claimed_by(text) is 'Internal: what an agent holds.';
