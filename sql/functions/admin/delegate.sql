create function pgstate.delegate(login text, agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._delegate(delegate.login, delegate.agent, true);
end
$$;
comment on function pgstate.delegate(text, text) is 'Lets a gateway act for an agent. Needs admin on everything. 55P03, which names them, while open transactions have changed what the agent may. PS007 PS010.';
