create function pgstate._add_run(
  p_key text, p_name text, p_code text, p_type text, p_input bytea, p_priority int, p_ready_at timestamptz, p_timeout interval, p_parent text,
  p_now timestamptz
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  insert into pgstate.run (key, name, code, input_type, input, priority, ready_at, begun_at, deadline, parent, asleep)
  values (p_key, p_name, p_code, p_type, p_input, coalesce(p_priority, 0), coalesce(p_ready_at, p_now), p_now,
          coalesce(p_ready_at, p_now) + p_timeout, p_parent, coalesce(p_ready_at > p_now, false));
end
$$;
comment on function pgstate._add_run(text, text, text, text, bytea, int, timestamptz, interval, text, timestamptz) is 'Internal: makes the run of an entry.';
