create function pgstate._is_suspended(p_agent text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := pgstate._agent_id(p_agent);
begin
  return (select a.suspended_at is not null from pgstate.agent a where a.id = v_id);
end
$$;
comment on function pgstate._is_suspended(text) is 'Internal: is an agent suspended?';
