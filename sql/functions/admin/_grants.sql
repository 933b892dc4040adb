create function pgstate._grants(p_actor pgstate._actor) returns setof pgstate.grant_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.subtree, g."right", g.granted_by, g.granted_at, g.deny, g.until
      from pgstate.access_grant g join pgstate.agent a on a.id = g.agent_id
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id)
     order by a.name, g.subtree, g."right";
end
$$;
comment on function pgstate._grants(pgstate._actor) is 'Internal: grants that the caller may see.';
