create function pgstate._lane_drop(p_actor pgstate._actor, p_lane uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  delete from pgstate.lane l where l.lane = p_lane and l.agent_id = p_actor.id;
end
$$;
comment on function pgstate._lane_drop(pgstate._actor, uuid) is 'Internal: forgets a lane of the caller''s.';
