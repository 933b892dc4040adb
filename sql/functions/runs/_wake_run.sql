-- Workers find it at once, and by its claim when it has one.
create function pgstate._wake_run(p_key text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.run r set asleep = false, awaits = null, ready_at = least(r.ready_at, pgstate._now()) where r.key = p_key and r.asleep;
end
$$;
comment on function pgstate._wake_run(text) is 'Internal: a run sleeps no more.';
