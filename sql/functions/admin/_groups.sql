create function pgstate._groups(p_actor pgstate._actor) returns setof pgstate.group_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_all boolean := coalesce((select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id), false);
begin
  return query
    select c.name, array(select a.name from pgstate.group_member m join pgstate.agent a on a.id = m.agent_id
                          where m.group_id = c.id and (v_all or a.id = p_actor.id) order by 1), c.created_at
      from pgstate.agent c
     where c.grouping and (v_all or exists (select from pgstate.group_member m where m.group_id = c.id and m.agent_id = p_actor.id))
     order by c.name;
end
$$;
comment on function pgstate._groups(pgstate._actor) is 'Internal: groups that the caller may see.';
