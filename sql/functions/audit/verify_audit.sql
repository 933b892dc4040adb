create function pgstate.verify_audit(subtree text, noted text default null, agent text default null) returns pgstate.audit_checked
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._verify_audit(pgstate._enter(verify_audit.agent), verify_audit.subtree, verify_audit.noted);
end
$$;
comment on function pgstate.verify_audit(text, text, text) is
  'Computes the chain of a subtree anew, from the entries of the audit trail: sound, or the first fault. Who can rewrite an entry can rewrite the chain after it, so note the head elsewhere: noted is an earlier one, which must still be in it. What waits for its link is linked before, but on a standby. Needs admin on all of it. PS002 PS007 PS010.';
