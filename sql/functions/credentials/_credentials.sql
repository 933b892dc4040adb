create function pgstate._credentials(p_actor pgstate._actor) returns setof pgstate.credential_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, g.name, g.purpose, g.granted_by, g.granted_at
      from pgstate.credential_grant g join pgstate.agent a on a.id = g.agent_id
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id)
     order by a.name, g.name, g.purpose;
end
$$;
comment on function pgstate._credentials(pgstate._actor) is 'Internal: what of that the caller may see.';
