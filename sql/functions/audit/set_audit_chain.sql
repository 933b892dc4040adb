create function pgstate.set_audit_chain(subtree text, active boolean default true, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._set_audit_chain(pgstate._enter(set_audit_chain.agent), set_audit_chain.subtree, set_audit_chain.active);
end
$$;
comment on function pgstate.set_audit_chain(text, boolean, text) is
  'From now on entries of the audit trail that concern a key, a subtree or everything (**) are linked by hashes, each over the entry and the link before, so that verify_audit() finds what somebody with the owner''s rights changed or removed. maintain() links them, within seconds where a client is connected: what is changed before is not found. active false: no new ones are. Needs admin on all of it. PS002 PS007 PS010 PS060.';
