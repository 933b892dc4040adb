create function pgstate.allow_credential(agent text, name text, purpose text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._allow_credential(allow_credential.agent, allow_credential.name, allow_credential.purpose, true);
end
$$;
comment on function pgstate.allow_credential(text, text, text) is
  'Lets an agent have $CRED{name} resolved for a purpose; * is any. Needs admin on everything. PS007 PS010.';
