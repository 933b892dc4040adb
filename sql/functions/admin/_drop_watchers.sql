-- Channels that an agent's watches were told go silent at once; its clients register again with what is left. Locked ones
-- are left to _wake(), which looks at the rights of the moment: an agent must not be able to hold up its own revocation.
create function pgstate._drop_watchers(p_agent_id int, p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  delete from pgstate.watcher w
   where w.channel in (
     select x.channel from pgstate.watcher x
      where p_agent_id = any (x.agent_ids) and (p_login is null or x.login = p_login) for update skip locked);
end
$$;
comment on function pgstate._drop_watchers(int, text) is 'Internal: ends registrations of an agent, of one login or all.';
