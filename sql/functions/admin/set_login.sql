create function pgstate.set_login(agent text, login text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._set_login(set_login.agent, set_login.login);
  if set_login.login is not null then
    perform pgstate._ensure_login(set_login.login, 'pgstate_agent');
  end if;
end
$$;
comment on function pgstate.set_login(text, text) is
  'Moves an agent to another database login, made without a password if there is none; null: it has none of its own and acts through gateways. The login that it had is nobody''s from then on, its database role stays: DROP ROLE removes that. For the login of a reader use drop_agent() and create_reader(). Needs admin on everything, and CREATEROLE when a login is given. PS007 PS010.';
