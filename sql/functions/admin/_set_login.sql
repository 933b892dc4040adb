create function pgstate._set_login(p_agent text, p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if (select a.root from pgstate.agent a where a.id = v_id for no key update) then
    raise exception using errcode = 'PS007', message = 'the administrator''s login is the role that installed';
  end if;
  if p_login is not null then
    insert into pgstate.login (login, agent_id) values (p_login, v_id) on conflict do nothing;
    if not exists (select from pgstate.login l where l.login = p_login and l.agent_id = v_id) then
      raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
        hint = 'A login is one agent''s or a gateway''s.';
    end if;
  end if;
  perform pgstate._drop_watchers(v_id, l.login) from pgstate.login l where l.agent_id = v_id and l.login is distinct from p_login;
  delete from pgstate.login l where l.agent_id = v_id and l.login is distinct from p_login;
  -- the new login's copy of the reach
  perform pgstate._fold_grants(v_id);
  perform pgstate._audit(v_actor, 'set_login', null, jsonb_build_object('agent', p_agent, 'login', p_login));
end
$$;
comment on function pgstate._set_login(text, text) is 'Internal: makes a login an agent''s only one.';
