create function pgstate._agents(p_actor pgstate._actor) returns setof pgstate.agent_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, (select l.login from pgstate.login l where l.agent_id = a.id limit 1),
           array(select d.login from pgstate.delegation d where d.agent_id = a.id order by 1), a.root, a.created_at, a.trust::text, a.suspended_at
      from pgstate.agent a
     where not a.grouping and (a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id))
     order by a.name;
end
$$;
comment on function pgstate._agents(pgstate._actor) is 'Internal: agents that the caller may see.';
