create function pgstate._add_agent(p_name text, p_login text, p_grants text[], p_reuse boolean default false) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  if p_name is null or p_name !~ '^[A-Za-z0-9._~:@=+,%-]{1,128}$' or p_name in ('.', '..', 'pgstate') then
    raise exception using errcode = 'PS007', message = format('invalid agent name %L', pgstate._shown(p_name)),
      hint = 'A name is one key segment of 1 to 128 characters: A-Z a-z 0-9 . _ ~ : @ = + , % -';
  elsif exists (select from pgstate.agent a where a.name = p_name) then
    raise exception using errcode = 'PS007', message = format('agent %L exists already', p_name);
  elsif exists (select from pgstate.login l where l.login = p_login) then
    raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
      hint = 'A login is one agent''s or a gateway''s.';
  end if;
  insert into pgstate.agent (name) values (p_name) on conflict do nothing returning id into v_id;
  if v_id is null then
    -- made by another meanwhile
    raise exception using errcode = 'PS007', message = format('agent %L exists already', p_name);
  end if;
  -- looked at after the insert: from then on nobody can make and drop another of this name meanwhile
  if p_reuse then
    delete from pgstate.former_agent f where f.name = p_name;
  elsif exists (select from pgstate.former_agent f where f.name = p_name) then
    raise exception using errcode = 'PS007', message = format('an agent %L was dropped', p_name),
      hint = format('What it wrote is there still, and the new one could read memory/%s/** and pass for it in the history. Choose another name, or say that this is meant: reuse => true, in the shell --reuse.', p_name);
  end if;
  if p_login is not null then
    insert into pgstate.login (login, agent_id) values (p_login, v_id);
  end if;
  insert into pgstate.access_grant (agent_id, subtree, "right", granted_by)
  select v_id, substr(g, strpos(g, ' ') + 1), split_part(g, ' ', 1), v_actor.name from unnest(p_grants) g;
  perform pgstate._fold_grants(v_id);
  perform pgstate._audit(v_actor, 'create_agent', null, jsonb_build_object('agent', p_name, 'login', p_login, 'grants', p_grants, 'reuse', nullif(p_reuse, false)));
end
$$;
comment on function pgstate._add_agent(text, text, text[], boolean) is 'Internal: registers an agent with its first grants ("right subtree").';
