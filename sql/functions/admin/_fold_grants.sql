-- Locks the group before it looks for members, who are added under the same lock, and members in the order of their ids. Two
-- changes to one agent at the same time must not each fold without the other's row: the second waits here, and the
-- statements after that see what the first has done.
create function pgstate._fold_grants(p_agent_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_group boolean := (select a.grouping from pgstate.agent a where a.id = p_agent_id for no key update);
begin
  if v_group then
    -- whoever adds a member by a snapshot from before fails, and so does who folds by one that shows no new member: see _set_member()
    update pgstate.agent a set grouping = true where a.id = p_agent_id;
    perform pgstate._fold_grants(m.agent_id) from (
      select x.agent_id from pgstate.group_member x where x.group_id = p_agent_id order by x.agent_id) m;
    return;
  end if;
  insert into pgstate.reach as r (agent_id, reads, writes, admins, touches, folded_until, trust)
  select f.agent_id, f.reads, f.writes, f.admins, f.touches, f.folded_until, a.trust
    from pgstate._folded(p_agent_id) f join pgstate.agent a on a.id = f.agent_id
      on conflict on constraint reach_pkey do update
     set reads = excluded.reads, writes = excluded.writes, admins = excluded.admins, touches = excluded.touches,
         folded_until = excluded.folded_until, trust = excluded.trust;
  update pgstate.login l set agent_name = a.name, reads = r.reads, writes = r.writes, touches = r.touches, folded_until = r.folded_until, quota = r.quota, trust = a.trust
    from pgstate.agent a join pgstate.reach r on r.agent_id = a.id
   where a.id = p_agent_id and l.agent_id = p_agent_id;
end
$$;
comment on function pgstate._fold_grants(int) is 'Internal: folds an agent''s grants into multiranges, for the agent and for its logins; of a group for each member.';
