-- Several keys, all or nothing. Guards and operations are rows of one atomic write_many(), guards first, so that they
-- are checked and locked together, in key order.
create function pgstate.apply(
  guards jsonb, operations jsonb, op_id text default null, lane uuid default null, turn bigint default null,
  wake boolean default true, agent text default null
) returns setof pgstate.applied
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(apply.agent);
  v_rows jsonb;
  v_guards int;
  v_a record;
  v_states text[];
  v_request text;
  v_outcome jsonb;
  v_watched boolean;
  v_row record;
  v_refused jsonb;
  v_key text;
begin
  if jsonb_typeof(apply.guards) <> 'array' or jsonb_typeof(apply.operations) <> 'array' then
    raise exception using errcode = 'PS007', message = 'guards and operations are arrays of documents';
  end if;
  v_rows := coalesce(apply.guards, '[]') || coalesce(apply.operations, '[]');
  v_guards := jsonb_array_length(coalesce(apply.guards, '[]'));

  -- what a row may say, checked before anything is done: a misspelt guard must not pass as no guard
  for v_row in
    select r.item, r.ord <= v_guards as is_guard, jsonb_typeof(r.item) = 'object' as is_object
      from jsonb_array_elements(v_rows) with ordinality as r (item, ord)
  loop
    if not v_row.is_object or jsonb_typeof(v_row.item -> 'key') is distinct from 'string'
       or v_row.is_guard and (
            exists (select from jsonb_object_keys(v_row.item) k where k not in ('key', 'exists', 'absent', 'version', 'value', 'token'))
            or (v_row.item ? 'exists')::int + (v_row.item ? 'absent')::int + (v_row.item ? 'version')::int + (v_row.item ? 'value')::int
               + (v_row.item ? 'token')::int <> 1
            or v_row.item ? 'exists' and v_row.item -> 'exists' <> 'true'
            or v_row.item ? 'absent' and v_row.item -> 'absent' <> 'true')
       or not v_row.is_guard and (
            coalesce(v_row.item ->> 'op', '') not in ('put', 'merge', 'delete', 'complete')
            or exists (select from jsonb_object_keys(v_row.item) k where k <> all (case v_row.item ->> 'op'
                 when 'put' then '{op,key,value,expect,expect_value,ttl,token,priority,not_before,trust,sources}'::text[]
                 when 'merge' then '{op,key,operand,reducer,ttl,token,trust,sources}'::text[]
                 when 'delete' then '{op,key,expect,token}'::text[]
                 else '{op,key,token}'::text[] end)))
       -- strict: the casts below take a number, a text and so on, and null is no way to leave a guard open
       or exists (select from jsonb_each(v_row.item) f where
            f.key in ('version', 'token', 'expect', 'priority') and (jsonb_typeof(f.value) <> 'number' or f.value::text !~ '^[0-9-]{1,18}$')
            or f.key in ('reducer', 'not_before', 'trust') and jsonb_typeof(f.value) <> 'string'
            or f.key = 'sources' and jsonb_typeof(f.value) <> 'array'
            or f.key = 'ttl' and jsonb_typeof(f.value) not in ('string', 'number'))
    then
      raise exception using errcode = 'PS007', message = format('invalid %s %s', case when v_row.is_guard then 'guard' else 'operation' end, pgstate._shown(v_row.item::text, 200)),
        hint = 'A guard is {"key", and one of "exists": true, "absent": true, "version", "value", "token"}; an operation is {"op": "put"|"merge"|"delete"|"complete", "key", and its arguments}.';
    end if;
  end loop;

  if apply.lane is not null then
    v_outcome := pgstate._lane_begin(v_actor, apply.lane, apply.turn);
    -- sent again: the first attempt may not have come to waking anybody
    v_watched := true;
  end if;
  if v_outcome is null and apply.op_id is not null then
    v_request := jsonb_build_array('apply', apply.guards, apply.operations)::text;
    v_states := pgstate._op_begin(v_actor, array[apply.op_id], array[v_request]);
    if v_states = array['known'] then
      v_states := pgstate._op_known(v_actor, array[apply.op_id], array[v_request], v_states);
    end if;
    if v_states = array['invalid'] then
      perform pgstate._raise('PS007', null);
    elsif v_states = array['reused'] then
      perform pgstate._raise('PS030', null);
    elsif v_states = array['replay'] then
      v_outcome := pgstate._op_outcome(v_actor, apply.op_id);
    end if;
  end if;

  if v_outcome is null then
    begin
      select array_agg(case when r.ord > v_guards then r.item ->> 'op' when r.item ? 'exists' then 'exists'
                            when r.item ? 'absent' then 'absent' else 'check' end order by r.ord) as ops,
             array_agg(r.item ->> 'key' order by r.ord) as keys,
             array_agg(coalesce(r.item -> 'operand', case when r.ord > v_guards then r.item -> 'value' end) order by r.ord) as vals,
             array_agg((coalesce(r.item ->> 'expect', r.item ->> 'version'))::bigint order by r.ord) as expects,
             array_agg(coalesce(r.item -> 'expect_value', case when r.ord <= v_guards then r.item -> 'value' end) order by r.ord) as expect_values,
             array_agg(case jsonb_typeof(r.item -> 'ttl') when 'number' then make_interval(secs => (r.item ->> 'ttl')::float8)
                            else (r.item ->> 'ttl')::interval end order by r.ord) as ttls,
             array_agg((r.item ->> 'token')::bigint order by r.ord) as tokens,
             array_agg((r.item ->> 'priority')::int order by r.ord) as priorities,
             array_agg((r.item ->> 'not_before')::timestamptz order by r.ord) as not_befores,
             array_agg(r.item ->> 'reducer' order by r.ord) as reducers,
             array_agg(r.item ->> 'trust' order by r.ord) as trusts, array_agg(r.item -> 'sources' order by r.ord) as sources,
             bool_or(r.item ?| '{trust,sources}') as derived
        into v_a
        from jsonb_array_elements(v_rows) with ordinality as r (item, ord);
    exception when data_exception then
      raise exception using errcode = 'PS007', message = 'invalid guard or operation: ' || pgstate._shown(sqlerrm, 200);
    end;
    select jsonb_agg(pgstate._pack(o) order by o.ord), bool_or(o.watched),
           (array_agg(jsonb_build_array(o.ord, o.code, o.message) order by o.ord) filter (where o.code is not null))[1]
      into v_outcome, v_watched, v_refused
      from pgstate.write_many(coalesce(v_a.ops, '{}'), coalesce(v_a.keys, '{}'), v_a.vals, v_a.expects, v_a.expect_values, v_a.ttls,
                              v_a.tokens, v_a.priorities, v_a.not_befores, v_a.reducers, wake => apply.wake, "atomic" => true,
                              agent => apply.agent, trusts => case when v_a.derived then v_a.trusts end,
                              sources => case when v_a.derived then v_a.sources end) o;
    -- a refused row is an error of the call
    if v_refused is not null then
      v_key := v_rows -> (v_refused -> 0)::int - 1 ->> 'key';
      perform pgstate._raise(v_refused ->> 1, v_key, v_key || ': ' || (v_refused ->> 2));
    end if;
    if apply.op_id is not null then
      perform pgstate._op_end(v_actor, apply.op_id, coalesce(v_outcome, '[]'));
    end if;
    if apply.lane is not null then
      perform pgstate._lane_end(apply.lane, apply.turn, coalesce(v_outcome, '[]'));
    end if;
  end if;

  return query
    select o.ord::int, r.item ->> 'key', u.status, u.version, u.value, v_watched
      from jsonb_array_elements(v_outcome) with ordinality as o (item, ord)
      join jsonb_array_elements(v_rows) with ordinality as r (item, ord) using (ord)
      cross join lateral pgstate._unpack(o.ord::int, o.item, r.item ->> 'key') u
     order by o.ord;
end
$$;
comment on function pgstate.apply(jsonb, jsonb, text, uuid, bigint, boolean, text) is
  'Several keys, all or nothing. guards: [{"key", one of "exists": true, "absent": true, "version": n, "value": json, "token": n}]; operations: [{"op": "put"|"merge"|"delete"|"complete", "key", and the arguments of that function}] (merge takes "operand", ttl is seconds or an interval). One row per guard, then per operation: ok everywhere, or nothing was done and the failing rows say conflict, held, stale or missing and the others skipped. PS001 PS003 PS004 PS005 PS006 PS007 PS009 PS010 PS030 PS031 PS040.';
