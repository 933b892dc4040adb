create function pgstate._close_run(p_key text, p_state text, p_type text, p_data bytea) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  update pgstate.run r set state = p_state, result_type = p_type, result = p_data, ended_at = pgstate._now() where r.key = p_key;
end
$$;
comment on function pgstate._close_run(text, text, text, bytea) is 'Internal: marks a run as ended.';
