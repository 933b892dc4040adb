create function pgstate.issue_ticket(login text, agent text, ttl interval default '5 minutes') returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._issue_ticket(pgstate._enter(null), issue_ticket.login, issue_ticket.agent, issue_ticket.ttl);
end
$$;
comment on function pgstate.issue_ticket(text, text, interval) is
  'A signed ticket by which a gateway names an agent, in place of its name: agent => ticket. It is good for this login and agent, for a second to a day. For those who administer everything, and an agent about itself. Not through a gateway: who took that over could ask for ever newer ones. PS007 PS010.';
