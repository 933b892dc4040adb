create function pgstate._add_run(
  p_key text, p_name text, p_code text, p_type text, p_input bytea, p_priority int, p_ready_at timestamptz, p_timeout interval, p_parent text,
  p_now timestamptz, p_payer int
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
begin
  insert into pgstate.run (key, name, code, input_type, input, priority, ready_at, begun_at, deadline, parent, asleep, agent_id)
  values (p_key, p_name, p_code, p_type, p_input, coalesce(p_priority, 0), coalesce(p_ready_at, p_now), p_now,
          coalesce(p_ready_at, p_now) + p_timeout, p_parent, coalesce(p_ready_at > p_now, false), p_payer)
  returning id into v_id;
  if p_payer is not null then
    perform pgstate._charge(0, coalesce(pg_column_size(p_input), 0) + coalesce(octet_length(p_type), 0) + coalesce(octet_length(p_code), 0)::bigint, null, array[v_id]);
  end if;
end
$$;
comment on function pgstate._add_run(text, text, text, text, bytea, int, timestamptz, interval, text, timestamptz, int) is 'Internal: makes the run of an entry.';
