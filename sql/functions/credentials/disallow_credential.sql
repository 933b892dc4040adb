create function pgstate.disallow_credential(agent text, name text, purpose text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._allow_credential(disallow_credential.agent, disallow_credential.name, disallow_credential.purpose, false);
end
$$;
comment on function pgstate.disallow_credential(text, text, text) is
  'Takes back exactly what allow_credential() gave. Needs admin on everything. PS007 PS010.';
