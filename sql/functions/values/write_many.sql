-- Writes of any kind for any number of rows: what clients gather into.
-- lane and turn protect a resent statement, op_ids single rows. wake false leaves waking the watchers to the caller
-- (wake() after the commit): NOTIFY inside the writing transaction serialises all commits of the cluster.
create function pgstate.write_many(
  ops text[], keys text[], "values" jsonb[] default null, expects bigint[] default null, expect_values jsonb[] default null,
  ttls interval[] default null, tokens bigint[] default null, priorities int[] default null,
  not_befores timestamptz[] default null, reducers text[] default null, return_values boolean[] default null,
  op_ids text[] default null, lane uuid default null, turn bigint default null, wake boolean default true,
  "atomic" boolean default false, lock_timeout text default null, agent text default null,
  trusts text[] default null, sources jsonb[] default null
) returns setof pgstate.outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(write_many.agent, write_many.lane, write_many.turn);
  v_ops text[] := write_many.ops;
  v_count int := coalesce(cardinality(write_many.keys), 0);
  -- few functions where little is given, here and below: the executor sets up each, called or not
  v_more int := num_nonnulls(write_many.expects, write_many.expect_values, write_many.ttls, write_many.tokens, write_many.priorities,
                             write_many.not_befores, write_many.return_values, write_many.op_ids, write_many.trusts, write_many.sources);
  v_plain boolean;
  v_out pgstate.outcome[];
  v_outcome jsonb;
  v_states text[];
  v_requests text[];
  v_versions bigint[];
  v_origins pgstate._origin[];
  v_written text[];
  v_watched boolean;
  v_wake text;
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done text;
begin
  if v_more = 0 then
    v_plain := concat('[1:', v_count, ']') = all (array[array_dims(v_ops), array_dims(write_many.keys), array_dims(write_many."values"),
                                                        coalesce(array_dims(write_many.reducers), array_dims(v_ops))]);
  end if;
  -- what is unusual is told apart in few expressions, here and below: each is initialised anew in every transaction
  if v_plain is not true or v_actor.kept is not null then
    v_plain := v_more = 0 or num_nonnulls(write_many.tokens, write_many.expect_values, write_many.return_values, write_many.trusts, write_many.sources) = 0;
    if v_count <> any (array[
         coalesce(cardinality(write_many.ops), 0), cardinality(write_many."values"), cardinality(write_many.expects), cardinality(write_many.expect_values),
         cardinality(write_many.ttls), cardinality(write_many.tokens), cardinality(write_many.priorities), cardinality(write_many.not_befores),
         cardinality(write_many.reducers), cardinality(write_many.return_values), cardinality(write_many.op_ids), cardinality(write_many.trusts),
         cardinality(write_many.sources)]) then
      raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
    elsif v_count = 0 then
      return;
    elsif v_actor.kept is not null then
      return query
        select u.* from jsonb_array_elements(v_actor.kept) with ordinality as o (item, ord)
         cross join lateral pgstate._unpack(o.ord::int, o.item, write_many.keys[o.ord]) u
         order by u.ord;
      return;
    elsif array_ndims(v_ops) <> 1 or array_lower(v_ops, 1) <> 1 or array_ndims(write_many.keys) <> 1 or array_lower(write_many.keys, 1) <> 1 then
      -- rows are counted from 1 below
      raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
    end if;
  end if;
  if write_many.wake is not true or write_many.lock_timeout is not null then
    v_wake := coalesce(current_setting('pgstate.wake', true), '');
    -- not before: a statement that is sent again must wait for the first to end
    v_done := set_config('lock_timeout', coalesce(write_many.lock_timeout, current_setting('lock_timeout')), true)
           || set_config('pgstate.wake', case when write_many.wake then v_wake else 'off' end, true);
  end if;

  if write_many.op_ids is not null then
    if array_ndims(write_many.op_ids) <> 1 or array_lower(write_many.op_ids, 1) <> 1 then
      raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
    elsif write_many."atomic" then
      raise exception using errcode = 'PS007', message = 'an atomic write has one op_id: use apply()';
    end if;
    v_requests := array(
      select (jsonb_build_array(u.op, u.key, u.value, u.expect, u.expect_value, pgstate._span_told(u.ttl), u.token, u.priority, pgstate._time_told(u.not_before), u.reducer,
                               u.return_value)
              || case when num_nonnulls(u.trust, u.sources) > 0 then jsonb_build_array(u.trust, u.sources) else '[]' end)::text
        from unnest(v_ops, write_many.keys, write_many."values", write_many.expects, write_many.expect_values, write_many.ttls,
                    write_many.tokens, write_many.priorities, write_many.not_befores, write_many.reducers, write_many.return_values,
                    write_many.trusts, write_many.sources)
             with ordinality as u (op, key, value, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, trust, sources, ord)
       order by u.ord);
    v_states := pgstate._op_begin(v_actor, write_many.op_ids, v_requests);
    if 'known' = any (v_states) then
      v_states := pgstate._op_known(v_actor, write_many.op_ids, v_requests, v_states);
    end if;
    for v_index in 1 .. cardinality(v_ops) loop
      if v_states[v_index] <> 'new' then
        v_ops[v_index] := 'replay';
      end if;
    end loop;
  end if;

  if v_plain and v_states is null and v_ops[1] in ('put', 'merge') and v_ops[1] = all (v_ops)
     -- together: a regular expression costs as much for one value as for a kilobyte of them
     and not pgstate._may_be_secret(concat(array_to_string(write_many.keys, ' ', ''), ' ', array_to_string(write_many."values", ' ', '')))
     and not (v_actor.policies and pgstate._has_rules(write_many.keys)) then
    if v_ops[1] = 'put' then
      if not write_many."atomic" and (0 = any (write_many.expects)) is not true then
        v_versions := pgstate._put_existing(v_actor, write_many.keys, write_many."values", write_many.expects, write_many.ttls,
                                            write_many.priorities, write_many.not_befores);
      end if;
    elsif v_more = 0 or num_nonnulls(write_many.expects, write_many.ttls, write_many.priorities, write_many.not_befores) = 0 then
      v_versions := pgstate._merge_existing(v_actor, write_many.keys, write_many."values", write_many.reducers);
    end if;
  elsif num_nonnulls(write_many.trusts, write_many.sources) > 0 then
    v_origins := pgstate._origins(v_actor, write_many.trusts, write_many.sources);
  elsif v_states is null and num_nonnulls(write_many.expects, write_many.expect_values) = 0 and not write_many."atomic" and 'complete' = all (v_ops) then
    v_versions := pgstate._complete_existing(v_actor, write_many.keys, write_many.tokens, null, null);
  end if;
  if v_versions is not null then
    if write_many.lane is not null or write_many.wake is not true then
      v_watched := pgstate._finish(write_many.lane, write_many.turn, to_jsonb(v_versions),
                                   case when write_many.wake is not true then write_many.keys end, write_many.wake is null, pgstate._now());
      v_done := case when write_many.wake is not true then set_config('pgstate.wake', v_wake, true) end;
    end if;
    return query
      select v.ord::int, 'ok', v.version, null::jsonb, null, null, v_watched
        from unnest(v_versions) with ordinality as v (version, ord);
    return;
  end if;

  v_out := pgstate._write_each(v_actor, v_ops, write_many.keys, write_many."values", write_many.expects, write_many.expect_values,
                               write_many.ttls, write_many.tokens, write_many.priorities, write_many.not_befores,
                               write_many.reducers, write_many.return_values, write_many."atomic", v_origins);
  if write_many.wake is not true then
    v_done := set_config('pgstate.wake', v_wake, true);
    v_written := array(select write_many.keys[o.ord] from unnest(v_out) o where o.status = 'ok');
  end if;

  if v_states is not null then
    for v_index in 1 .. cardinality(v_ops) loop
      if write_many.op_ids[v_index] is not null and v_states[v_index] = 'new' then
        perform pgstate._op_end(v_actor, write_many.op_ids[v_index],
          case when v_out[v_index].code is null
               then pgstate._pack(v_out[v_index]) end);
      end if;
    end loop;
    for v_index in 1 .. cardinality(v_ops) loop
      if v_states[v_index] in ('reused', 'invalid') then
        v_out[v_index] := row(v_index, 'invalid', null, null, case v_states[v_index] when 'reused' then 'PS030' else 'PS007' end,
                              null, null)::pgstate.outcome;
      elsif v_states[v_index] = 'replay' then
        v_outcome := pgstate._op_outcome(v_actor, write_many.op_ids[v_index]);
        if v_outcome is null then
          -- the same request twice in one statement, and refused
          v_outcome := pgstate._pack(v_out[array_position(write_many.op_ids, write_many.op_ids[v_index])]);
        end if;
        v_out[v_index] := pgstate._unpack(v_index, v_outcome, write_many.keys[v_index]);
      end if;
    end loop;
  end if;

  if write_many.lane is not null then
    v_outcome := (select jsonb_agg(pgstate._pack(o) order by o.ord) from unnest(v_out) o);
  end if;
  if write_many.lane is not null or write_many.wake is not true then
    v_watched := pgstate._finish(write_many.lane, write_many.turn, v_outcome, v_written, write_many.wake is null, pgstate._now());
  end if;
  return query
    select o.ord, o.status, o.version, o.value, o.code,
           case when o.code is not null then pgstate._error_text(o.code, write_many.keys[o.ord]) || coalesce(': ' || o.message, '') end, v_watched
      from unnest(v_out) o;
end
$$;
comment on function pgstate.write_many(text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], text[], uuid, bigint, boolean, boolean, text, text, text[], jsonb[]) is
  'Writes any number of rows in one statement: ops is put, merge, delete or complete for each key, the other arrays run alongside and may be null. One outcome per row, in order; a refused row (code, message) harms no other. A key may occur several times. atomic: all or nothing. trusts: the most that a value is to be trusted; sources: for each an array of what it derives from, keys or {"key", "version"}, which the caller must be able to read and whose trust it does not exceed. lock_timeout as in write_one().';
