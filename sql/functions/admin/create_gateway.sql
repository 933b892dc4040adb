create function pgstate.create_gateway(login text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._add_gateway(create_gateway.login);
  perform pgstate._ensure_login(create_gateway.login, 'pgstate_agent');
end
$$;
comment on function pgstate.create_gateway(text) is
  'Registers a login that acts for the agents delegated to it, named by each call''s agent argument or the transaction-local setting pgstate.agent. Needs admin on everything and CREATEROLE. PS007 PS010.';
