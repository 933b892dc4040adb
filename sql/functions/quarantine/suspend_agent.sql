create function pgstate.suspend_agent(agent text) returns setof pgstate.open_transaction
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_done text[] := pgstate._suspend(v_actor, suspend_agent.agent);
begin
  return query select t.* from pgstate._open_transactions(pgstate._agent_id(suspend_agent.agent)) t;
end
$$;
comment on function pgstate.suspend_agent(text) is
  'Stops an agent: nobody acts as it, by its login, a gateway or a ticket, whatever it is granted meanwhile, until resume_agent(). Its claims are given back, its watches get nothing more. What it wrote stays: quarantine() is for that. The rows are transactions under way that have called us, of its login, of a gateway of its or of the login that installed, which may still commit: ask again until there are none, or end them (pg_terminate_backend). Needs admin on everything. PS007 PS010.';
