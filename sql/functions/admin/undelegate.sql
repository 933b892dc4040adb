create function pgstate.undelegate(login text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._delegate(undelegate.login, undelegate.agent, false);
end
$$;
comment on function pgstate.undelegate(text, text) is 'Ends a delegation. 55P03, which names them, while open transactions have changed what the agent may. PS007 PS010.';
