-- The oldest signal of the name that no step has taken; else the step waits, until a time that is set when it first does.
create function pgstate._take_signal(
  p_key text, p_token bigint, p_step text, p_name text, p_position int, p_main boolean, p_timeout interval, p_now timestamptz, p_payer int
) returns pgstate.signalled
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_run pgstate.run := pgstate._run_of(p_key);
  v_step pgstate.step;
  v_signal pgstate.signal;
  v_out pgstate.signalled;
begin
  v_out.cancelled := v_run.cancel_at is not null;
  select s.* into v_step from pgstate.step s where s.run_id = v_run.id and s.id = p_step;
  if v_run.state <> 'open' or v_step.state in ('done', 'failed') then
    v_out.status := case when v_run.state <> 'open' then 'ended' else 'exists' end;
    return v_out;
  end if;
  v_out.due_at := case when v_step.id is null then p_now + p_timeout else v_step.due_at end;
  select g.* into v_signal from pgstate.signal g
   where g.run_id = v_run.id and g.name = p_name and g.taken_by is null order by g.no limit 1;
  if v_signal.no is not null then
    update pgstate.signal g set taken_by = p_step where g.run_id = v_run.id and g.no = v_signal.no;
    v_out.status := 'ok';
    v_out.type := v_signal.type;
    v_out.data := v_signal.data;
  elsif v_out.due_at <= p_now then
    v_out.status := 'timeout';
  else
    v_out.status := 'pending';
  end if;
  if v_out.status <> 'pending' or v_step.id is null then
    insert into pgstate.step as s (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, due_at, token, agent_id)
    values (v_run.id, p_step, p_name, 'signal', p_position, p_main,
            case v_out.status when 'ok' then 'done' when 'timeout' then 'failed' else 'pending' end,
            case when v_out.status = 'timeout' then 'timeout' else v_out.type end, v_out.data, 1, p_now,
            case when v_out.status <> 'pending' then p_now end, v_out.due_at, p_token, p_payer)
        on conflict on constraint step_pkey do update
       set state = excluded.state, type = excluded.type, data = excluded.data, finished_at = excluded.finished_at, token = excluded.token,
           position = excluded.position, agent_id = excluded.agent_id;
    if p_payer is not null then
      -- one that waits makes no version, which would count as a write, but of the first
      perform pgstate._charge(case when v_out.status = 'pending' then 1 else 0 end,
                              octet_length(p_step) + octet_length(p_name) + coalesce(octet_length(v_out.type), 0) + coalesce(pg_column_size(v_out.data), 0)::bigint, null, array[v_run.id]);
    end if;
  end if;
  return v_out;
end
$$;
comment on function pgstate._take_signal(text, bigint, text, text, int, boolean, interval, timestamptz, int) is 'Internal: a step takes a signal, or waits for one.';
