-- A run that begins with what another did before a step: what comes before it in the code, and all that no order is known of.
create function pgstate._fork_run(p_key text, p_target text, p_from text, p_now timestamptz, p_payer int) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_source pgstate.run := pgstate._run_of(p_key);
  v_from pgstate.step;
  v_id bigint;
  v_count bigint;
begin
  if p_from is not null then
    select s.* into v_from from pgstate.step s where s.run_id = v_source.id and s.id = p_from;
    if v_from.id is null then
      return null;
    end if;
  end if;
  insert into pgstate.run (key, name, code, seed, input_type, input, priority, ready_at, begun_at, parent, forked_from, forked_step, agent_id)
  values (p_target, v_source.name, v_source.code, v_source.seed, v_source.input_type, v_source.input, v_source.priority, p_now, p_now,
          -- as in start_run()
          case when pgstate._reachable('write') @> v_source.parent then v_source.parent end, p_key, p_from, p_payer)
  returning id into v_id;
  insert into pgstate.step (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, due_at, token, agent_id)
  select v_id, s.id, s.name, s.kind, s.position, s.main, s.state, s.type, s.data, s.attempts, s.started_at, s.finished_at, s.due_at, s.token, p_payer
    from pgstate.step s
   where s.run_id = v_source.id and s.state <> 'pending' and s.kind <> 'undo' and s.id is distinct from p_from
     -- by the order of the code; by time where that is not known
     and (p_from is null or case when s.position is not null and v_from.position is not null then s.position < v_from.position
                                 else s.finished_at < coalesce(v_from.finished_at, 'infinity') end);
  get diagnostics v_count = row_count;
  if p_payer is not null then
    perform pgstate._charge(0, coalesce(pg_column_size(v_source.input), 0) + coalesce(octet_length(v_source.input_type), 0) + coalesce(octet_length(v_source.code), 0)
      + (select coalesce(sum(coalesce(pg_column_size(s.data), 0) + coalesce(octet_length(s.type), 0) + octet_length(s.id) + octet_length(s.name)), 0) from pgstate.step s where s.run_id = v_id)::bigint, null, array[v_id]);
  end if;
  return v_count;
end
$$;
comment on function pgstate._fork_run(text, text, text, timestamptz, int) is 'Internal: makes a run of what another has done; how many steps, null when it has no such step.';
