create function pgstate._suspended_at(p_agent text) returns timestamptz
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := pgstate._agent_id(p_agent);
begin
  return (select a.suspended_at from pgstate.agent a where a.id = v_id);
end
$$;
comment on function pgstate._suspended_at(text) is 'Internal: since when an agent is suspended; null if it is not.';
