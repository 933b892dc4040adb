-- What harden() has to do, which makes roles and so runs as its caller. Reads what agents may not, so it asks for admin itself.
create function pgstate._harden_plan(p_gateway text, p_agents text[], p_logins boolean, p_prefix text, p_tickets boolean)
returns setof pgstate.harden_step
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_agents text[];
  v_agent text;
  v_login text;
begin
  perform pgstate._check_admin(pgstate._enter(null), '**');
  if (p_gateway is null) is distinct from p_logins then
    raise exception using errcode = 'PS007', message = 'name a gateway, or say logins => true: one login for many agents, or one for each';
  elsif p_tickets and p_gateway is null then
    raise exception using errcode = 'PS007', message = 'tickets are for a gateway: a login of its own is an agent''s name';
  elsif exists (select from pgstate.login l where l.login = p_gateway and not l.gateway) then
    raise exception using errcode = 'PS007', message = format('login %L is an agent''s', p_gateway), hint = 'A login is one agent''s or a gateway''s.';
  end if;
  v_agents := array(
    select distinct n collate "C" from unnest(coalesce(p_agents, array(
      -- readers are people, who have logins of their own
      select a.name from pgstate.agent a
       where not (a.root or a.grouping) and not exists (
         select from pgstate.login l join pg_roles r on r.rolname = l.login
          where l.agent_id = a.id and pg_has_role(r.oid, 'pgstate_reader', 'MEMBER'))))) n order by 1);
  if p_gateway is not null then
    return next row('create_role', null, p_gateway, exists (
      select from pg_roles r where r.rolname = p_gateway and pg_has_role(r.oid, 'pgstate_agent', 'MEMBER')), null)::pgstate.harden_step;
    return next row('create_gateway', null, p_gateway, exists (select from pgstate.login l where l.login = p_gateway), null)::pgstate.harden_step;
  end if;
  foreach v_agent in array v_agents loop
    return next row('create_agent', v_agent, null, exists (
      select from pgstate.agent a where a.name = v_agent and not a.grouping), null)::pgstate.harden_step;
    if p_gateway is null then
      v_login := coalesce((select min(l.login) from pgstate.login l join pgstate.agent a on a.id = l.agent_id where a.name = v_agent), p_prefix || v_agent);
      return next row('create_role', v_agent, v_login, exists (
        select from pg_roles r where r.rolname = v_login and pg_has_role(r.oid, 'pgstate_agent', 'MEMBER')), null)::pgstate.harden_step;
      return next row('set_login', v_agent, v_login, exists (
        select from pgstate.login l join pgstate.agent a on a.id = l.agent_id where a.name = v_agent and l.login = v_login), null)::pgstate.harden_step;
    else
      return next row('delegate', v_agent, p_gateway, exists (
        select from pgstate.delegation d join pgstate.agent a on a.id = d.agent_id where a.name = v_agent and d.login = p_gateway), null)::pgstate.harden_step;
    end if;
  end loop;
  if p_tickets then
    return next row('require_tickets', null, p_gateway, coalesce((
      select l.tickets from pgstate.login l where l.login = p_gateway), false), null)::pgstate.harden_step;
  end if;
  v_login := (select l.login from pgstate.login l where l.root order by 1 limit 1);
  return next row('note', null, v_login, null, 'This login installed pgstate, and acts as admin with all rights: connect applications as others.')::pgstate.harden_step;
  if current_setting('server_version_num')::int < 160000 then
    return next row('note', null, v_login, null, 'Before PostgreSQL 16 it inherits the owner''s rights on the tables, and any role with CREATEROLE can make itself the owner: have no other role with it.')::pgstate.harden_step;
  end if;
end
$$;
comment on function pgstate._harden_plan(text, text[], boolean, text, boolean) is 'Internal: the steps of harden(); state tells whether it is done already.';
