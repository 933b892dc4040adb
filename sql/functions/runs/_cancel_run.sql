create function pgstate._cancel_run(p_key text, p_now timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.run r set cancel_at = coalesce(r.cancel_at, p_now) where r.key = p_key;
end
$$;
comment on function pgstate._cancel_run(text, timestamptz) is 'Internal: tells a run to end.';
