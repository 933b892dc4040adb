-- The entries of these keys are no threads or runs any more: what they held is collected. Called with the entries locked. Waits for
-- who forks one of them or adds writes to it.
create function pgstate._detach_threads(p_keys text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  update pgstate.thread t set key = null, collect_at = pgstate._now() where t.key = any (p_keys);
  update pgstate.run r set key = null, ended_at = coalesce(r.ended_at, pgstate._now()) where r.key = any (p_keys);
end
$$;
comment on function pgstate._detach_threads(text[]) is 'Internal: takes threads and runs off their keys.';
