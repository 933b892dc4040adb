-- Steps of any number of runs in one statement: their records, and for each a version of its run's entry. The entries are
-- locked in key order; everything after that costs the same however many steps there were before.
create function pgstate.finish_steps(
  keys text[], tokens bigint[], steps text[], names text[], kinds text[], positions int[], mains boolean[], states text[], types text[],
  data bytea[], attempts int[], elapsed float8[], due_ats timestamptz[] default null, lane uuid default null, turn bigint default null,
  wake boolean default true, agent text default null
) returns setof pgstate.step_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(finish_steps.agent, finish_steps.lane, finish_steps.turn);
  v_count int := coalesce(cardinality(finish_steps.keys), 0);
  v_codes text[];
  -- null unless a step is there twice
  v_firsts bigint[];
  v_locked text[];
  v_values jsonb[];
  v_recorded pgstate._step_done[];
  v_versions bigint[];
  v_lost boolean;
  v_now timestamptz := pgstate._now();
  v_watched boolean;
  v_plain boolean := false;
  v_out pgstate.step_outcome;
  v_written text[];
  v_outcome jsonb := v_actor.kept;
  v_wake text := coalesce(current_setting('pgstate.wake', true), '');
  -- assigning is an expression, PERFORM is a query: 5 us
  v_set text;
begin
  if v_count <> any (array[
       coalesce(cardinality(finish_steps.tokens), 0), coalesce(cardinality(finish_steps.steps), 0), coalesce(cardinality(finish_steps.names), 0),
       coalesce(cardinality(finish_steps.kinds), 0), coalesce(cardinality(finish_steps.positions), 0), coalesce(cardinality(finish_steps.mains), 0),
       coalesce(cardinality(finish_steps.states), 0), coalesce(cardinality(finish_steps.types), 0), coalesce(cardinality(finish_steps.data), 0),
       coalesce(cardinality(finish_steps.attempts), 0), coalesce(cardinality(finish_steps.elapsed), 0),
       coalesce(cardinality(finish_steps.due_ats), v_count)])
     or array_ndims(finish_steps.keys) <> 1 or array_lower(finish_steps.keys, 1) <> 1 then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, have one dimension and begin at 1';
  elsif v_count = 0 then
    return;
  elsif v_outcome is not null then
    return query
      select o.ord::int, o.item ->> 0, (o.item ->> 1)::bigint, (o.item ->> 2)::boolean, o.item ->> 3,
             pgstate._error_text(o.item ->> 3, finish_steps.keys[o.ord]), true
        from jsonb_array_elements(v_outcome) with ordinality as o (item, ord) order by o.ord;
    return;
  end if;
  if finish_steps.wake is not true then
    v_set := set_config('pgstate.wake', 'off', true);
  end if;
  v_codes := array(
    select case when i.key is null or not pgstate._key_ok(i.key) then 'PS001'
                when not ((select v_actor.reads + '{}') @> i.key and (select v_actor.writes + '{}') @> i.key) then 'PS010'
                when octet_length(i.data) > v_actor.value_limit then 'PS004'
                when i.token is null or i.position is null or i.main is null or i.attempts is null or i.attempts < 0
                     or (octet_length(i.step) between 1 and 512) is not true or (octet_length(i.name) between 1 and 256) is not true
                     or (i.kind in ('step', 'map', 'sleep', 'signal', 'child', 'now', 'undo')) is not true
                     or (i.state in ('done', 'failed')) is not true
                     or (i.elapsed is null or i.elapsed between 0 and 3e9) is not true
                     or i.due_at not between '1970-01-01' and '9999-12-01' then 'PS007' end
      from unnest(finish_steps.keys, finish_steps.tokens, finish_steps.steps, finish_steps.names, finish_steps.kinds, finish_steps.positions,
                  finish_steps.mains, finish_steps.states, finish_steps.data, finish_steps.attempts, finish_steps.elapsed, finish_steps.due_ats) with ordinality
           as i (key, token, step, name, kind, position, main, state, data, attempts, elapsed, due_at, ord)
     order by i.ord);
  if pgstate._suspect_parts(finish_steps.steps || finish_steps.names, finish_steps.types, finish_steps.data) then
    -- whatever their bounds, as unnest() takes them
    finish_steps.steps := array(select unnest(finish_steps.steps));
    finish_steps.names := array(select unnest(finish_steps.names));
    finish_steps.types := array(select unnest(finish_steps.types));
    finish_steps.data := array(select unnest(finish_steps.data));
    for v_index in 1 .. v_count loop
      continue when v_codes[v_index] is not null;
      if pgstate._secret_in(v_actor, finish_steps.keys[v_index], finish_steps.steps[v_index] || ' ' || finish_steps.names[v_index]) is not null then
        v_codes[v_index] := 'PS009';
      else
        -- not refused, whatever the policy: a result would be lost, and the step done again
        finish_steps.data[v_index] := pgstate._guarded_data(v_actor, finish_steps.keys[v_index], finish_steps.types[v_index], finish_steps.data[v_index], false);
      end if;
    end loop;
  end if;
  if v_count > 1 then
    select array_agg(f.first order by f.ord) into v_firsts
      from (select i.ord, min(i.ord) filter (where i.code is null) over (partition by i.key, i.token, i.step) as first
              from unnest(finish_steps.keys, finish_steps.tokens, finish_steps.steps, v_codes) with ordinality as i (key, token, step, code, ord)) f
    having bool_or(f.first < f.ord);
  end if;
  select array_agg(e.key order by e.key), array_agg(e.value order by e.key) into v_locked, v_values
    from (select distinct u.key collate "C" as key from unnest(finish_steps.keys, v_codes) u (key, code) where u.code is null order by 1) i
    cross join lateral (
      select x.key, x.value, x.expires_at from pgstate.entry x
       where x.key = i.key and x.value is not null and x.kind = 'run' for no key update) e
   where e.expires_at is null or e.expires_at > pgstate._now();
  if v_locked is not null then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(v_locked);
    end if;
    v_now := pgstate._now();
    v_plain := array_to_string(v_codes, '') = '' and finish_steps.keys <@ v_locked and v_firsts is null;
    -- of the others nothing is asked: keys that were not locked go along as null
    v_recorded := pgstate._add_steps(v_actor, v_now,
      case when v_plain then finish_steps.keys else array(
        select case when u.code is null and u.key = any (v_locked) and (v_firsts is null or v_firsts[u.ord] = u.ord) then u.key end
          from unnest(finish_steps.keys, v_codes) with ordinality u (key, code, ord) order by u.ord) end,
      finish_steps.tokens, finish_steps.steps, finish_steps.names, finish_steps.kinds, finish_steps.positions, finish_steps.mains,
      finish_steps.states, finish_steps.types, finish_steps.data, finish_steps.attempts, finish_steps.elapsed, finish_steps.due_ats);
    if v_firsts is not null then
      for v_index in 1 .. v_count loop
        if v_firsts[v_index] < v_index then
          v_recorded[v_index].status := replace(v_recorded[v_firsts[v_index]].status, 'ok', 'exists');
          v_recorded[v_index].cancelled := v_recorded[v_firsts[v_index]].cancelled;
        end if;
      end loop;
    end if;
    with good as materialized (
      select d.ord, finish_steps.keys[d.ord] as key, finish_steps.steps[d.ord] as step,
             row_number() over (partition by finish_steps.keys[d.ord] order by d.ord) as n,
             count(*) over (partition by finish_steps.keys[d.ord]) as total,
             v_values[array_position(v_locked, finish_steps.keys[d.ord])] as value
        from unnest(v_recorded) d where d.status = 'ok'
    ), news as materialized (
      select g.*, g.value || jsonb_build_object('step', g.step, 'steps', coalesce((g.value -> 'steps')::bigint, 0) + g.n) as new,
             v_now + case when g.value ? 'ttl' then nullif(make_interval(secs => (g.value -> 'ttl')::float8), interval '0')
                          when v_actor.policies then (pgstate._policy_of(g.key)).ttl end as expires_at
        from good g
    ), heads as (
      update pgstate.entry e
         set version = e.version + g.total, value = g.new, writer = v_actor.name, via = session_user, updated_at = v_now, expires_at = g.expires_at,
             trust = case when v_actor.policies then pgstate._capped(v_actor.trust, e.key) else v_actor.trust end
        from news g where e.key = g.key and g.n = g.total
      returning e.key, e.version, e.trust
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select g.key, h.version - g.total + g.n, v_actor.epoch, 'put', g.new, v_actor.name, session_user, v_now, g.expires_at, h.trust
        from news g join heads h on h.key = g.key order by g.key, g.n
    )
    select array_agg(h.version - g.total + g.n order by d.ord), bool_or(d.status = 'ok' and h.version is null) into v_versions, v_lost
      from unnest(v_recorded) d left join news g on g.ord = d.ord left join heads h on h.key = g.key;
    if v_lost then
      -- the right was taken while the lock was waited for
      perform pgstate._deny();
    end if;
  end if;
  if finish_steps.wake is not true then
    v_set := set_config('pgstate.wake', v_wake, true);
  end if;
  if v_plain and v_count = 1 then
    -- without queries: most steps come alone
    v_out := row(1, v_recorded[1].status, v_versions[1], v_recorded[1].cancelled, null, null, null)::pgstate.step_outcome;
    v_outcome := jsonb_build_array(jsonb_build_array(v_out.status, v_out.version, v_out.cancelled, null));
    v_written := case when v_out.status = 'ok' then finish_steps.keys else '{}' end;
  elsif finish_steps.lane is not null or finish_steps.wake is not true then
    v_outcome := (
      select jsonb_agg(jsonb_build_array(case when u.code is null then coalesce((v_recorded[u.ord]).status, 'missing') when u.code = 'PS010' then 'denied' else 'invalid' end,
                                         v_versions[u.ord], (v_recorded[u.ord]).cancelled, u.code) order by u.ord)
        from unnest(v_codes) with ordinality u (code, ord));
    v_written := array(select finish_steps.keys[d.ord] from unnest(v_recorded) d where d.status = 'ok');
  end if;
  if finish_steps.lane is not null or finish_steps.wake is not true then
    v_watched := pgstate._finish(finish_steps.lane, finish_steps.turn, v_outcome, case when finish_steps.wake is not true then v_written end,
                                 finish_steps.wake is null, v_now);
  end if;
  if v_out.status is not null then
    v_out.watched := v_watched;
    return next v_out;
    return;
  end if;
  return query
    select u.ord::int, case when u.code is null then coalesce((v_recorded[u.ord]).status, 'missing') when u.code = 'PS010' then 'denied' else 'invalid' end,
           v_versions[u.ord], (v_recorded[u.ord]).cancelled, u.code,
           case when u.code is not null then pgstate._error_text(u.code, finish_steps.keys[u.ord]) end, v_watched
      from unnest(v_codes) with ordinality u (code, ord);
end
$$;
comment on function pgstate.finish_steps(text[], bigint[], text[], text[], text[], int[], boolean[], text[], text[], bytea[], int[], float8[], timestamptz[], uuid, bigint, boolean, text) is
  'Records finished steps of runs that the caller holds by their tokens, each with a version of its run''s entry, in one statement: one outcome per row, in the order of the input; a refused row harms no other. states: done, with data of a serializer''s form types, or failed (type error, data the message). positions and mains: which step of the code it is, and whether its order counts. elapsed: seconds. due_ats: until when a sleep lasts. wake as in write_one(). Status ok, stale, missing, ended, exists (there is a record, which stays). Secrets are redacted in what is JSON, unless the guard of the key is off. PS007 PS010 PS031.';
