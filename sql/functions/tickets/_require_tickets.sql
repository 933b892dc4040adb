create function pgstate._require_tickets(p_actor pgstate._actor, p_login text, p_required boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  update pgstate.login l set tickets = p_required where l.login = p_login and l.gateway and p_required is not null;
  if not found then
    raise exception using errcode = 'PS007', message = format('%L is not a gateway', pgstate._shown(p_login)), hint = 'create_gateway(login) makes one.';
  elsif p_required and not exists (select from pgstate.ticket_key k where k.retired_at is null) then
    perform pgstate._rotate_ticket_keys(p_actor, interval '0');
  end if;
  -- what it watches was registered by names
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where p_required and x.login = p_login for update skip locked);
  perform pgstate._audit(p_actor, 'require_tickets', null, jsonb_build_object('login', p_login, 'required', p_required));
end
$$;
comment on function pgstate._require_tickets(pgstate._actor, text, boolean) is 'Internal: has a gateway name agents by tickets alone, or not.';
