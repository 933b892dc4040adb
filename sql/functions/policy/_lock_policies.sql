-- Policies change one after the other, and not while retention goes by them: each change leaves install.policies and
-- what retention is to do as the policies are. Taken before any policy is touched.
create function pgstate._lock_policies() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform from pgstate.sweep s where s.delay = interval '0' for update;
end
$$;
comment on function pgstate._lock_policies() is 'Internal: waits for other changes of policies and for retention.';
