-- Each row is all or nothing, and harms no other. Existing entries are locked in key order before any row is written.
create function pgstate.complete_many(
  keys text[], tokens bigint[], results jsonb[] default null, move_tos text[] default null, op_ids text[] default null,
  lane uuid default null, turn bigint default null, wake boolean default true, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(complete_many.agent, complete_many.lane, complete_many.turn);
  v_count int := coalesce(cardinality(complete_many.keys), 0);
  v_out pgstate.outcome[];
  v_versions bigint[];
  v_outcome jsonb := v_actor.kept;
  v_requests text[];
  v_states text[];
  v_pair pgstate.outcome[];
  v_one pgstate.outcome;
  v_row record;
  v_watched boolean;
  v_wake text := coalesce(current_setting('pgstate.wake', true), '');
  v_done text;
begin
  if v_count <> any (array[
       coalesce(cardinality(complete_many.tokens), 0), coalesce(cardinality(complete_many.results), v_count),
       coalesce(cardinality(complete_many.move_tos), v_count), coalesce(cardinality(complete_many.op_ids), v_count)]) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
  elsif array_ndims(complete_many.keys) <> 1 or array_lower(complete_many.keys, 1) <> 1 or array_ndims(complete_many.op_ids) <> 1 or array_lower(complete_many.op_ids, 1) <> 1 then
    -- rows are counted from 1 below
    raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
  elsif exists (select from unnest(complete_many.results, complete_many.move_tos) u (result, move_to) where u.result is not null and u.move_to is null) then
    raise exception using errcode = 'PS007', message = 'a result needs a place', hint = 'Name the key that it is put under with move_to.';
  elsif v_count = 0 then
    return;
  elsif v_outcome is not null then
    return query
      select u.* from jsonb_array_elements(v_outcome) with ordinality as o (item, ord)
       cross join lateral pgstate._unpack(o.ord::int, o.item, complete_many.keys[o.ord]) u
       order by u.ord;
    return;
  end if;
  v_done := set_config('pgstate.wake', case when complete_many.wake then v_wake else 'off' end, true);
  if complete_many.op_ids is null then
    v_versions := pgstate._complete_existing(v_actor, complete_many.keys, complete_many.tokens, complete_many.results, complete_many.move_tos);
  end if;
  if v_versions is not null then
    v_out := array(select row(u.ord, 'ok', u.version, null, null, null, null)::pgstate.outcome
                     from unnest(v_versions) with ordinality u (version, ord) order by u.ord);
  else
    v_out := array_fill(null::pgstate.outcome, array[v_count]);
    if complete_many.op_ids is not null then
      -- before any key is locked
      v_requests := array(
        select jsonb_build_array('complete', u.key, u.token, u.result, u.move_to)::text
          from unnest(complete_many.keys, complete_many.tokens, complete_many.results, complete_many.move_tos) with ordinality
               as u (key, token, result, move_to, ord)
         order by u.ord);
      v_states := pgstate._op_begin(v_actor, complete_many.op_ids, v_requests);
      if 'known' = any (v_states) then
        v_states := pgstate._op_known(v_actor, complete_many.op_ids, v_requests, v_states);
      end if;
    end if;
    -- of those that the caller may write: a look at others would show in the caller's own statistics
    perform from pgstate.entry e
      where e.key = any (array(select k from unnest(complete_many.keys || complete_many.move_tos) k where (select v_actor.writes + '{}') @> k))
      order by e.key for update;
    for v_row in
      select u.*, pgstate._claimant_fault(v_actor, u.key) as code
        from unnest(complete_many.keys, complete_many.tokens, complete_many.results, complete_many.move_tos, complete_many.op_ids) with ordinality
             as u (key, token, result, move_to, op_id, ord)
       -- places that are missing are locked by making them
       order by first_value(u.move_to) over (partition by u.key order by u.ord) collate "C" nulls first, u.key collate "C", u.ord
    loop
      continue when v_states[v_row.ord] = 'replay';
      if v_states[v_row.ord] <> 'new' then
        v_row.code := case v_states[v_row.ord] when 'reused' then 'PS030' else 'PS007' end;
      elsif v_row.code is null and (v_row.token is null or v_row.move_to = v_row.key) then
        v_row.code := 'PS007';
      end if;
      if v_row.code is not null then
        v_one := row(v_row.ord, case v_row.code when 'PS010' then 'denied' else 'invalid' end, null, null, v_row.code, null, null)::pgstate.outcome;
      elsif v_row.move_to is null then
        v_one := (select o from pgstate.write_many(array['complete'], array[v_row.key], tokens => array[v_row.token], agent => complete_many.agent) o);
      else
        v_pair := array(
          select o
            from pgstate.write_many(array['complete', 'put'], array[v_row.key, v_row.move_to],
                                    array[null, coalesce(v_row.result, pgstate._current_value(v_row.key), 'null')],
                                    tokens => array[v_row.token, null], "atomic" => true, agent => complete_many.agent,
                                    -- whose value it was is not lost, nor how far it is trusted
                                    sources => case when v_row.result is null then array[null, (
                                      select jsonb_build_array(jsonb_build_object('key', e.key, 'version', e.version)) from pgstate.entry e
                                       where e.key = v_row.key and v_actor.reads @> e.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()))] end) o order by o.ord);
        -- of a row that failed, what failed; not what stands at the other key
        v_one := v_pair[case when v_pair[1].status in ('ok', 'skipped') and v_pair[2].status <> 'ok' then 2 else 1 end];
        v_one.value := case when v_one.status = 'stale' then v_one.value end;
      end if;
      v_one.ord := v_row.ord;
      v_out[v_row.ord] := v_one;
      if v_row.op_id is not null and v_states[v_row.ord] = 'new' then
        perform pgstate._op_end(v_actor, v_row.op_id, case when v_one.code is null then pgstate._pack(v_one) end);
      end if;
    end loop;
    for v_index in 1 .. coalesce(cardinality(v_states), 0) loop
      if v_states[v_index] = 'replay' then
        -- null when it stands twice in this statement, and was refused
        v_outcome := coalesce(pgstate._op_outcome(v_actor, complete_many.op_ids[v_index]),
                              pgstate._pack(v_out[array_position(complete_many.op_ids, complete_many.op_ids[v_index])]));
        v_out[v_index] := pgstate._unpack(v_index, v_outcome, complete_many.keys[v_index]);
      end if;
    end loop;
  end if;
  v_done := set_config('pgstate.wake', v_wake, true);
  if complete_many.lane is not null or not complete_many.wake then
    v_watched := pgstate._finish(complete_many.lane, complete_many.turn, (select jsonb_agg(pgstate._pack(o) order by o.ord) from unnest(v_out) o),
      case when not complete_many.wake then array(
        select k from unnest(v_out) o cross join lateral unnest(array[complete_many.keys[o.ord], complete_many.move_tos[o.ord]]) k
         where o.status = 'ok' and k is not null) end, false, pgstate._now());
  end if;
  return query
    select o.ord, o.status, o.version, o.value, o.code,
           case when o.code is not null then coalesce(o.message, pgstate._error_text(o.code, complete_many.keys[o.ord])) end, v_watched
      from unnest(v_out) o;
end
$$;
comment on function pgstate.complete_many(text[], bigint[], jsonb[], text[], text[], uuid, bigint, boolean, text) is
  'complete() for many claims in one statement, each to its own move_to: one outcome per row, in the order of the input, with the version of the completed entry; a refused row harms no other. PS007 PS009 PS010 PS031.';
