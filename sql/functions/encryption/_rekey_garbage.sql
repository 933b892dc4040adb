-- Has what threads, and those that they were forked from, do not need any more collected. One that has not begun is nobody's business here:
-- its writes would go.
create function pgstate._rekey_garbage(p_ids bigint[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.thread t set collect_at = least(t.collect_at, pgstate._now())
   where t.id in (
     select x.id from pgstate.thread x
      where x.id in (select unnest(y.bases || y.id) from pgstate.thread y where y.id = any (p_ids)) and (x.key is null or x.begun_at is not null)
        for no key update skip locked);
end
$$;
comment on function pgstate._rekey_garbage(bigint[]) is 'Internal: marks threads for collection.';
