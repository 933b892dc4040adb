create function pgstate._agent_id(p_name text) returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := (select a.id from pgstate.agent a where a.name = p_name);
begin
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no agent %L', p_name), hint = 'create_agent(name) makes one.';
  end if;
  return v_id;
end
$$;
comment on function pgstate._agent_id(text) is 'Internal: id of an agent by name, PS007 when there is none.';
