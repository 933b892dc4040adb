-- From one login for everything to a gateway, or to a login for each agent. All of it or nothing, and again without effect.
create function pgstate.harden(
  gateway text default null, agents text[] default null, logins boolean default false, prefix text default '',
  tickets boolean default false, dry_run boolean default false
) returns setof pgstate.harden_step
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  v_step pgstate.harden_step;
  v_role pg_roles;
begin
  for v_step in
    select p.* from pgstate._harden_plan(harden.gateway, harden.agents, harden.logins, harden.prefix, harden.tickets) p
  loop
    if v_step.action = 'note' then
      return next v_step;
      continue;
    end if;
    v_role := null;
    if v_step.action = 'create_role' then
      -- as it was before
      select r.* into v_role from pg_roles r where r.rolname = v_step.login;
    end if;
    if v_step.state::boolean then
      v_step.state := 'there';
    elsif harden.dry_run then
      v_step.state := 'to do';
    else
      case v_step.action
        when 'create_role' then perform pgstate._ensure_login(v_step.login, 'pgstate_agent');
        when 'create_gateway' then perform pgstate.create_gateway(v_step.login);
        when 'create_agent' then perform pgstate.create_agent(v_step.agent);
        when 'delegate' then perform pgstate.delegate(v_step.login, v_step.agent);
        when 'set_login' then perform pgstate.set_login(v_step.agent, v_step.login);
        when 'require_tickets' then perform pgstate.require_tickets(v_step.login);
      end case;
      v_step.state := 'done';
    end if;
    if v_step.action = 'create_role' then
      v_step.note := nullif(concat_ws(' ',
        case when v_role.oid is null then E'It has no password yet: ALTER ROLE ... PASSWORD, or \\password in psql.'
             when v_step.state <> 'there' then 'It was there: who logs in by it acts so from now on.' end,
        case when not v_role.rolcanlogin then 'It may not log in: ALTER ROLE ... LOGIN.' end,
        case when not has_database_privilege(coalesce(v_role.oid, to_regrole(quote_ident(v_step.login))), current_database(), 'CONNECT')
             then 'It may not connect: GRANT CONNECT ON DATABASE.' end), '');
    end if;
    return next v_step;
  end loop;
end
$$;
comment on function pgstate.harden(text, text[], boolean, text, boolean, boolean) is
  'Goes from one login for everything to isolation: a gateway, which acts for the agents delegated to it, or with logins => true a login for each agent, called as the agent with a prefix. agents: these, made if there are none; without, all that are registered, but for readers. tickets: the gateway names agents by tickets alone. Makes what is missing, database roles too, without passwords, and tells each step; dry_run: tells them alone. Needs admin on everything and CREATEROLE. PS007 PS010.';
