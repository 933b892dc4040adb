create function pgstate.set_trust(agent text, trust text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_trust(set_trust.agent, set_trust.trust);
end
$$;
comment on function pgstate.set_trust(text, text) is
  'The most that what an agent writes is trusted: external, agent (which holds until it is set), verified or operator. It holds for calls that begin afterwards; versions that there are keep theirs. Needs admin on everything. PS007 PS010.';
