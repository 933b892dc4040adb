-- The check before a resolver is asked; the database never has the credential. What is denied is the same for a name that
-- nobody was allowed.
create function pgstate.use_credential(name text, purpose text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._use_credential(pgstate._enter(use_credential.agent), use_credential.name, use_credential.purpose);
end
$$;
comment on function pgstate.use_credential(text, text, text) is
  'May the acting agent have $CRED{name} resolved for this purpose? Recorded in the audit trail. PS010.';
