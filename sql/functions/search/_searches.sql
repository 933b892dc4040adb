-- As _policies(): what lies outside the caller's grants is hidden from it.
create function pgstate._searches(p_actor pgstate._actor) returns setof pgstate.search_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select r.subtree, r.fields, r.config, r.vectors, r.vector_fields,
           not exists (select from pgstate.search_build b where pgstate._pattern_ranges(b.subtree) && r.ranges),
           r.set_by, r.set_at
      from pgstate.search_rule r
     where (select x.touches + x.admins from pgstate._reach x where x.agent_id = p_actor.id) && r.ranges
     order by r.subtree;
end
$$;
comment on function pgstate._searches(pgstate._actor) is 'Internal: rules for search that the caller may see.';
