create function pgstate._agent_id(p_name text, p_groups boolean default false) returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
  v_group boolean;
begin
  select a.id, a.grouping into v_id, v_group from pgstate.agent a where a.name = p_name;
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no agent %L', p_name), hint = 'create_agent(name) makes one.';
  elsif v_group and not p_groups then
    raise exception using errcode = 'PS007', message = format('%L is a group of agents', p_name);
  end if;
  return v_id;
end
$$;
comment on function pgstate._agent_id(text, boolean) is 'Internal: id of an agent, or of a group if that will do, by name, PS007 when there is none.';
