create function pgstate._set_member(p_group text, p_agent text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_group int;
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  -- a grant to the group at the same time comes before this or after it: see _fold_grants()
  update pgstate.agent a set grouping = true where a.name = p_group and a.grouping returning a.id into v_group;
  if v_group is null then
    raise exception using errcode = 'PS007', message = format('there is no group %L', pgstate._shown(p_group)), hint = 'create_group(name) makes one.';
  end if;
  v_id := pgstate._agent_id(p_agent);
  -- before its memberships, as who drops it
  perform from pgstate.agent a where a.id = v_id for no key update;
  if not found then
    perform pgstate._agent_id(p_agent);
  end if;
  if p_on and exists (select from pgstate.agent a where a.id = v_id and a.root) then
    raise exception using errcode = 'PS007', message = 'the administrator is in no group: nothing could be denied to it';
  elsif p_on then
    insert into pgstate.group_member (group_id, agent_id, added_by) values (v_group, v_id, v_actor.name) on conflict do nothing;
  else
    delete from pgstate.group_member m where m.group_id = v_group and m.agent_id = v_id;
    if not found then
      raise exception using errcode = 'PS007', message = format('%s is not in group %s', p_agent, p_group);
    end if;
  end if;
  perform pgstate._fold_grants(v_id);
  -- who joins may be denied something, too
  perform pgstate._drop_watchers(v_id, null);
  perform pgstate._audit(v_actor, case when p_on then 'add_to_group' else 'remove_from_group' end, null, jsonb_build_object('group', p_group, 'agent', p_agent));
end
$$;
comment on function pgstate._set_member(text, text, boolean) is 'Internal: adds an agent to a group, or removes it.';
