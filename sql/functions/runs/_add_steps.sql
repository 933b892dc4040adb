-- Records steps whose entries the caller has locked: those whose token is that of the run's claim now. In a statement that
-- begins after the locks were had, so that it sees every claim that there is. What is recorded stays as it is; only what
-- was pending is finished.
create function pgstate._add_steps(
  p_actor pgstate._actor, p_now timestamptz, p_keys text[], p_tokens bigint[], p_steps text[], p_names text[], p_kinds text[], p_positions int[],
  p_mains boolean[], p_states text[], p_types text[], p_data bytea[], p_attempts int[], p_elapsed float8[], p_due_ats timestamptz[]
) returns pgstate._step_done[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_done pgstate._step_done[];
begin
  with input as materialized (
    select i.*, r.id as run_id, r.cancel_at is not null as cancelled,
           case when r.id is null then 'missing' when c.token is null then 'stale' when r.state <> 'open' then 'ended' end as fault
      from unnest(p_keys, p_tokens, p_steps, p_names, p_kinds, p_positions, p_mains, p_states, p_types, p_data, p_attempts, p_elapsed, p_due_ats)
           with ordinality as i (key, token, step, name, kind, position, main, state, type, data, attempts, elapsed, due_at, ord)
      left join pgstate.run r on r.key = i.key
      left join pgstate.claim c on c.key = i.key and c.token = i.token and c.holder_id = p_actor.id and c.lease_until > p_now
  ), added as (
    insert into pgstate.step as s (run_id, id, name, kind, position, main, state, type, data, attempts, started_at, finished_at, due_at, token, agent_id)
    select i.run_id, i.step, i.name, i.kind, i.position, i.main, i.state, i.type, i.data, i.attempts,
           p_now - make_interval(secs => coalesce(i.elapsed, 0)), p_now, i.due_at, i.token, case when p_actor.quota then p_actor.id end
      from input i where i.fault is null order by i.run_id, i.step
        on conflict on constraint step_pkey do update
       set state = excluded.state, type = excluded.type, data = excluded.data, attempts = excluded.attempts, finished_at = excluded.finished_at,
           token = excluded.token, agent_id = excluded.agent_id
     where s.state = 'pending'
    returning s.run_id, s.id
  )
  select array_agg(row(i.ord::int, coalesce(i.fault, case when a.id is null then 'exists' else 'ok' end), i.cancelled)::pgstate._step_done order by i.ord)
    into v_done
    from input i left join added a on a.run_id = i.run_id and a.id = i.step;
  if p_actor.quota then
    perform pgstate._charge(0, pg_column_size(p_steps) + pg_column_size(p_names) + pg_column_size(p_types) + pg_column_size(p_data)::bigint,
      null, array(select distinct x.id from pgstate.run x where x.key = any (p_keys)));
  end if;
  return v_done;
end
$$;
comment on function pgstate._add_steps(pgstate._actor, timestamptz, text[], bigint[], text[], text[], text[], int[], boolean[], text[], text[], bytea[], int[], float8[], timestamptz[]) is
  'Internal: records steps of locked runs.';
