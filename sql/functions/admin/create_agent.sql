create function pgstate.create_agent(name text, login text default null, reuse boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._add_agent(create_agent.name, create_agent.login, array['read memory/{agent}/**', 'write memory/{agent}/**'],
                             create_agent.reuse);
  if create_agent.login is not null then
    perform pgstate._ensure_login(create_agent.login, 'pgstate_agent');
  end if;
end
$$;
comment on function pgstate.create_agent(text, text, boolean) is
  'Registers an agent with read and write on memory/{agent}/**. login: a database login of its own, made without a password if there is none (ALTER ROLE ... PASSWORD sets one). reuse: also under the name of an agent that was dropped, whose memory it then reads. Needs admin on everything, and CREATEROLE when a login is given. PS007 PS010.';
