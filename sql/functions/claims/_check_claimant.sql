create function pgstate._check_claimant(p_actor pgstate._actor, p_key text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_code text := pgstate._claimant_fault(p_actor, p_key);
begin
  if v_code is not null then
    perform pgstate._raise(v_code, p_key);
  end if;
end
$$;
comment on function pgstate._check_claimant(pgstate._actor, text) is 'Internal: claims need read and write. PS001 PS010.';
