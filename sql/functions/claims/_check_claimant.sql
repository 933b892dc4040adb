create function pgstate._check_claimant(p_actor pgstate._actor, p_key text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_key is null or not pgstate._key_ok(p_key) then
    perform pgstate._bad_key(p_key);
  elsif not (p_actor.reads @> p_key and p_actor.writes @> p_key) then
    perform pgstate._deny();
  end if;
end
$$;
comment on function pgstate._check_claimant(pgstate._actor, text) is 'Internal: claims need read and write.';
