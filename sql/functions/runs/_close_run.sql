create function pgstate._close_run(p_key text, p_state text, p_type text, p_data bytea, p_payer int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
begin
  update pgstate.run r set state = p_state, result_type = p_type, result = p_data, result_agent_id = p_payer, ended_at = pgstate._now() where r.key = p_key
  returning r.id into v_id;
  if p_payer is not null then
    perform pgstate._charge(0, coalesce(pg_column_size(p_data), 0) + coalesce(octet_length(p_type), 0)::bigint, null, array[v_id]);
  end if;
end
$$;
comment on function pgstate._close_run(text, text, text, bytea, int) is 'Internal: marks a run as ended.';
