create function pgstate._add_gateway(p_login text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
begin
  perform pgstate._check_admin(v_actor, '**');
  if p_login is null then
    raise exception using errcode = 'PS007', message = 'a gateway is a login: name a database role';
  elsif exists (select from pgstate.login l where l.login = p_login) then
    raise exception using errcode = 'PS007', message = format('login %L is registered already', p_login),
      hint = 'A login is one agent''s or a gateway''s.';
  end if;
  insert into pgstate.login (login, gateway) values (p_login, true);
  perform pgstate._audit(v_actor, 'create_gateway', null, jsonb_build_object('login', p_login));
end
$$;
comment on function pgstate._add_gateway(text) is 'Internal: registers a gateway.';
