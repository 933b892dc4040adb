create function pgstate.create_reader(login text, pattern text, reuse boolean default false) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgstate._add_agent(create_reader.login, create_reader.login, array['read ' || coalesce(create_reader.pattern, '')], create_reader.reuse);
  perform pgstate._ensure_login(create_reader.login, 'pgstate_agent');
  perform pgstate._ensure_login(create_reader.login, 'pgstate_reader');
end
$$;
comment on function pgstate.create_reader(text, text, boolean) is
  'A login for trusted people: plain SELECT on the views, row-level security in force, and read on a key or subtree. The planner''s estimates can show that hidden rows exist: not for agents. reuse: also under the name of an agent or reader that was dropped. Needs admin on everything and CREATEROLE. PS002 PS007 PS010.';
