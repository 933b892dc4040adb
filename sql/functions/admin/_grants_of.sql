create function pgstate._grants_of(p_agent_id int) returns setof pgstate._grant_of
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.subtree, g."right", g.deny, g.until, null::text, g.granted_by, g.granted_at
      from pgstate.agent a join pgstate.access_grant g on g.agent_id = a.id where a.id = p_agent_id
    union all
    select a.name, g.subtree, g."right", g.deny, g.until, c.name, g.granted_by, g.granted_at
      from pgstate.agent a join pgstate.group_member m on m.agent_id = a.id join pgstate.agent c on c.id = m.group_id
      join pgstate.access_grant g on g.agent_id = c.id where a.id = p_agent_id;
end
$$;
comment on function pgstate._grants_of(int) is 'Internal: the grants and denials of an agent and of its groups.';
