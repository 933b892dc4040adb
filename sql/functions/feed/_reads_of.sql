-- For changes_for() only, which has checked that the login may act for these agents; checked here again.
create function pgstate._reads_of(p_agent text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select r.reads + '{}' from pgstate.agent a cross join lateral (select * from pgstate._reach x where x.agent_id = a.id offset 0) r
           where a.name = p_agent and a.id = any (pgstate._acting_ids()));
end
$$;
comment on function pgstate._reads_of(text) is 'Internal: what one of the agents of a multi-agent feed read may read.';
