create function pgstate.drop_gateway(login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_gateway(drop_gateway.login);
end
$$;
comment on function pgstate.drop_gateway(text) is
  'Removes a gateway and its delegations. The agents stay, with the claims that they took through it. The database role stays: DROP ROLE removes that. Needs admin on everything. 55P03, which names them, while open transactions have changed what its agents may. PS007 PS010.';
