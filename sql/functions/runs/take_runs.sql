create function pgstate.take_runs(
  names text[], "limit" int, lease interval, pattern text default '', codes text[] default null, lane uuid default null, turn bigint default null, agent text default null
) returns setof pgstate.run_full
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(take_runs.agent, take_runs.lane, take_runs.turn);
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_taken jsonb := '[]';
  v_claims pgstate.claim[];
  v_claim pgstate.claim;
  v_out pgstate.run_full;
  v_outs pgstate.run_full[] := '{}';
  v_head pgstate._thread_head;
  v_run pgstate.run;
  v_rules pgstate._claim_rules;
  v_done boolean;
begin
  perform pgstate._check_lease(take_runs.lease);
  perform pgstate._check_pattern(take_runs.pattern);
  if (take_runs."limit" between 1 and 1000) is not true then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 1000';
  elsif cardinality(take_runs.codes) <> cardinality(take_runs.names) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length';
  elsif octet_length(array_to_string(take_runs.codes, '')) > v_actor.value_limit then
    perform pgstate._raise('PS004', take_runs.pattern);
  end if;
  v_ranges := pgstate._pattern_ranges(take_runs.pattern) * v_actor.reads * v_actor.writes;
  if isempty(v_ranges) then
    perform pgstate._deny();
  end if;
  v_regex := pgstate._pattern_regex(take_runs.pattern);
  if v_actor.kept is not null then
    for v_claim in
      -- not those that another worker of the same agent has taken over since, or that are the caller's no more
      select c.* from jsonb_array_elements(v_actor.kept) with ordinality k (claim, ord)
        join pgstate.claim c on c.key = k.claim ->> 0 and c.token = (k.claim -> 1)::bigint and c.lease_until > pgstate._now() and v_ranges @> c.key
       order by k.ord
    loop
      return next pgstate._run_full(v_claim.key, 'ok', v_claim, false);
    end loop;
    return;
  end if;
  -- what is ready lies within both
  v_actor.readable := true;
  v_actor.writable := true;
  v_claims := pgstate._take(v_actor, pgstate._ready_runs(take_runs.names, v_ranges, v_regex, take_runs."limit"), take_runs.lease);
  for v_index in 1 .. coalesce(cardinality(v_claims), 0) loop
    v_claim := v_claims[v_index];
    v_head := pgstate._thread_lock(v_actor, v_claim.key, v_claim.token, false, 'run');
    continue when v_head.status is not null;
    if v_actor.policies and v_claim.attempts - v_claim.released > 1 then
      v_rules := pgstate._claim_rules_of(v_claim.key);
      if v_claim.attempts - v_claim.released > v_rules.max_attempts then
        v_done := pgstate._end_run(v_actor, v_claim.key, v_head, 'failed', 'error',
          convert_to('given up after ' || v_rules.max_attempts || ' workers: the lease of the last one ended', 'UTF8')) is not null;
        continue;
      end if;
    end if;
    if v_head.value ->> 'status' <> 'running' then
      v_head.value := v_head.value || '{"status": "running"}';
      v_head.version := pgstate._thread_write(v_actor, v_claim.key, v_head, v_head.value, null, 'run');
    end if;
    v_run := pgstate._run_of(v_claim.key);
    if v_run.code is distinct from take_runs.codes[array_position(take_runs.names, v_run.name)] then
      v_done := pgstate._new_code(v_claim.key, take_runs.codes[array_position(take_runs.names, v_run.name)]) is not null;
    end if;
    begin
      v_out := pgstate._run_full(v_claim.key, 'ok', v_claim, false);
    exception when program_limit_exceeded then
      -- nobody could go on with it, and nobody take the others after it
      v_done := pgstate._end_run(v_actor, v_claim.key, v_head, 'failed', 'error',
        convert_to('given up: what its steps have recorded is more than can be read at once (1 GB)', 'UTF8')) is not null;
      continue;
    end;
    v_taken := v_taken || jsonb_build_array(jsonb_build_array(v_claim.key, v_claim.token));
    v_outs := v_outs || v_out;
  end loop;
  if jsonb_array_length(v_taken) < take_runs."limit" then
    v_out := null;
    v_out.status := 'missing';
    v_out.retry_in := pgstate._next_ready(take_runs.names, v_ranges, v_regex);
    v_outs := v_outs || v_out;
  end if;
  if take_runs.lane is not null then
    v_done := pgstate._lane_end(take_runs.lane, take_runs.turn, v_taken);
  end if;
  return query select o.* from unnest(v_outs) o;
end
$$;
comment on function pgstate.take_runs(text[], int, interval, text, text[], uuid, bigint, text) is
  'Claims up to limit open runs of these workflows that match the pattern and that nobody works on, those of a dead worker among them, the highest priority first; as start_run() returns them. codes: the version of the code of each workflow. Fewer: the last row has status missing, and retry_in tells when to look again. A run that its policy''s max_attempts of workers died with fails. Needs read and write. PS002 PS007 PS010 PS031.';
