create function pgstate.require_tickets(login text, required boolean default true) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._require_tickets(pgstate._enter(null), require_tickets.login, require_tickets.required);
end
$$;
comment on function pgstate.require_tickets(text, boolean) is
  'From now on a gateway names agents by tickets (issue_ticket) alone, and a mere name is denied: SQL that is injected into it acts for nobody whose ticket it does not have. Needs admin on everything. PS007 PS010.';
