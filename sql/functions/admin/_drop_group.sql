create function pgstate._drop_group(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_members int[];
begin
  perform pgstate._check_admin(v_actor, '**');
  -- who is adding a member, or granting to it, at the same time waits, and then finds no such group
  select a.id into v_id from pgstate.agent a where a.name = p_name and a.grouping for update;
  if v_id is null then
    raise exception using errcode = 'PS007', message = format('there is no group %L', pgstate._shown(p_name)), hint = 'pgstate.groups() lists them.';
  end if;
  -- and who drops a member, which it does before its memberships
  v_members := array(
    select a.id from pgstate.agent a where a.id in (select m.agent_id from pgstate.group_member m where m.group_id = v_id) order by a.id for no key update);
  delete from pgstate.agent a where a.id = v_id;
  perform pgstate._fold_grants(m) from unnest(v_members) m;
  perform pgstate._drop_watchers(m, null) from unnest(v_members) m;
  perform pgstate._audit(v_actor, 'drop_group', null, jsonb_build_object('group', p_name));
end
$$;
comment on function pgstate._drop_group(text) is 'Internal: removes a group, and what it was granted and denied.';
