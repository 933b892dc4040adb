create function pgstate._fold_grants(p_agent_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- two grants to one agent at the same time must not each fold without the other's row
  perform from pgstate.agent a where a.id = p_agent_id for no key update;
  insert into pgstate.reach as r (agent_id, reads, writes, admins, touches)
  select p_agent_id, f.reads, f.writes, f.admins, f.reads + f.writes
    from (select coalesce(range_agg(u) filter (where g."right" = 'read'), '{}') as reads,
                 coalesce(range_agg(u) filter (where g."right" = 'write'), '{}') as writes,
                 coalesce(range_agg(u) filter (where g."right" = 'admin'), '{}') as admins
            from pgstate.access_grant g join pgstate.agent a on a.id = g.agent_id
            cross join lateral unnest(pgstate._subtree_ranges(g.subtree, a.name)) u
           where g.agent_id = p_agent_id) f
      on conflict on constraint reach_pkey do update
     set reads = excluded.reads, writes = excluded.writes, admins = excluded.admins, touches = excluded.touches;
  update pgstate.login l set agent_name = a.name, reads = r.reads, writes = r.writes, touches = r.touches
    from pgstate.agent a join pgstate.reach r on r.agent_id = a.id
   where a.id = p_agent_id and l.agent_id = p_agent_id;
end
$$;
comment on function pgstate._fold_grants(int) is 'Internal: folds an agent''s grants into multiranges, for the agent and for its logins.';
