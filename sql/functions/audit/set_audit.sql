create function pgstate.set_audit(keep interval, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_audit(pgstate._enter(set_audit.agent), set_audit.keep);
end
$$;
comment on function pgstate.set_audit(interval, text) is
  'How long entries of the audit trail are kept: a day at least, null for ever, which it is at first. maintain() removes older ones, and nobody can remove others. Needs admin on everything. PS007 PS010.';
