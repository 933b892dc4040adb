create function pgstate._add_group(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  if p_name is null or p_name !~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' or p_name in ('.', '..', 'pgstate') then
    raise exception using errcode = 'PS007', message = format('invalid name of a group %L', pgstate._shown(p_name)),
      hint = 'A name is one key segment of 1 to 128 characters: A-Z a-z 0-9 . _ ~ : @ = + , % -';
  end if;
  insert into pgstate.agent (name, grouping) values (p_name, true) on conflict do nothing;
  if not found then
    raise exception using errcode = 'PS007', message = format('an agent or group %L exists already', p_name);
  elsif exists (select from pgstate.former_agent f where f.name = p_name) then
    raise exception using errcode = 'PS007', message = format('an agent %L was dropped', p_name), hint = 'The history has its name: choose another for the group.';
  end if;
  perform pgstate._audit(v_actor, 'create_group', null, jsonb_build_object('group', p_name));
end
$$;
comment on function pgstate._add_group(text) is 'Internal: registers a group of agents.';
