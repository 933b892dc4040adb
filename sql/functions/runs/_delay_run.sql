create function pgstate._delay_run(p_key text, p_by interval) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.run r set ready_at = pgstate._now() + p_by, asleep = true where r.key = p_key;
end
$$;
comment on function pgstate._delay_run(text, interval) is 'Internal: no worker takes a run for a while.';
