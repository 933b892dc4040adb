-- _op_begin() for a call that is one request: its first outcome, or null when it is to be done now. PS007 PS030.
create function pgstate._op_first(p_actor pgstate._actor, p_op_id text, p_request text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_states text[] := pgstate._op_begin(p_actor, array[p_op_id], array[p_request]);
begin
  if v_states = array['known'] then
    v_states := pgstate._op_known(p_actor, array[p_op_id], array[p_request], v_states);
  end if;
  if v_states = array['invalid'] then
    perform pgstate._raise('PS007', null);
  elsif v_states = array['reused'] then
    perform pgstate._raise('PS030', null);
  end if;
  return case when v_states = array['replay'] then pgstate._op_outcome(p_actor, p_op_id) end;
end
$$;
comment on function pgstate._op_first(pgstate._actor, text, text) is 'Internal: takes an op_id, or returns what was done under it.';
