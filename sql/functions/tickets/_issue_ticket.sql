create function pgstate._issue_ticket(p_actor pgstate._actor, p_login text, p_agent text, p_ttl interval) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := p_actor.id;
  v_key pgstate.ticket_key;
  v_until bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    if current_setting('transaction_read_only') = 'on' then
      -- nothing can be locked there, and so nobody can tell whether the rights of its snapshot are those of now
      raise exception using errcode = 'read_only_sql_transaction', message = 'no ticket is issued in a read-only transaction of this isolation',
        hint = 'What the caller may could have been taken away since its snapshot: use READ COMMITTED.';
    end if;
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  if exists (select from pgstate.login l where l.login = session_user::text and l.gateway) then
    raise exception using errcode = 'PS010', message = 'access denied',
      hint = 'A gateway makes no tickets: with one that it was handed it could make itself newer ones for ever. The agent''s own login does, or an administrator''s.';
  end if;
  -- an agent may hand one about itself to a gateway that it is delegated to
  if p_agent is distinct from p_actor.name then
    perform pgstate._check_admin(p_actor, '**');
    v_id := pgstate._agent_id(p_agent);
  end if;
  if p_ttl is null or not (p_ttl between interval '1 second' and interval '1 day' and pgstate._span_ok(p_ttl)) then
    raise exception using errcode = 'PS007', message = 'a ticket is good for a second to a day';
  elsif not exists (select from pgstate.delegation d where d.login = p_login and d.agent_id = v_id) then
    raise exception using errcode = 'PS007', message = format('%L may not act for %s', pgstate._shown(p_login), p_agent), hint = 'delegate(login, agent) lets a gateway act for an agent.';
  end if;
  v_until := extract(epoch from pgstate._now() + p_ttl)::bigint;
  select k.* into v_key from pgstate.ticket_key k where k.retired_at is null order by k.id desc limit 1;
  if not found then
    raise exception using errcode = 'PS007', message = 'there is no key to sign tickets with', hint = 'rotate_ticket_keys() makes one, and so does require_tickets(login).';
  end if;
  return p_agent || '/t1/' || v_key.id || '/' || v_until || '/' || pgstate._ticket_signature(v_key, p_login, p_agent, v_id, v_until);
end
$$;
comment on function pgstate._issue_ticket(pgstate._actor, text, text, interval) is 'Internal: signs a ticket.';
