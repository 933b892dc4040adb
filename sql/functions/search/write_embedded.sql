-- write_many(), and the vectors of what it writes: both or neither, so that a search never finds a value by an older text.
create function pgstate.write_embedded(
  ops text[], keys text[], "values" jsonb[], expects bigint[] default null, ttls interval[] default null, owners int[] default null,
  "vectors" real[] default null, model text default null, lane uuid default null, turn bigint default null, wake boolean default true,
  lock_timeout text default null, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_one pgstate.outcome;
  v_out pgstate.outcome[];
  -- who may not read is told no version, and is denied below
  v_versions bigint[];
  v_puts boolean[];
  v_given boolean := coalesce(cardinality(write_embedded.owners), 0) > 0;
  v_before text := coalesce(current_setting('pgstate.vectors', true), '');
  v_done text;
begin
  if v_given then
    v_done := set_config('pgstate.vectors', 'follow', true);
  end if;
  if 1 = all (array[cardinality(write_embedded.ops), cardinality(write_embedded.keys), cardinality(write_embedded."values"),
                    coalesce(cardinality(write_embedded.expects), 1), coalesce(cardinality(write_embedded.ttls), 1),
                    array_lower(write_embedded.ops, 1), array_lower(write_embedded.keys, 1), array_lower(write_embedded."values", 1),
                    coalesce(array_lower(write_embedded.expects, 1), 1), coalesce(array_lower(write_embedded.ttls, 1), 1)]) then
    v_one := pgstate.write_one(write_embedded.ops[1], write_embedded.keys[1], write_embedded."values"[1], write_embedded.expects[1],
                               ttl => write_embedded.ttls[1], lane => write_embedded.lane, turn => write_embedded.turn,
                               wake => write_embedded.wake, lock_timeout => write_embedded.lock_timeout, agent => write_embedded.agent);
    v_versions := array[case when v_one.status = 'ok' then coalesce(v_one.version, 0) end];
    v_puts := array[write_embedded.ops[1] = 'put'];
    return next v_one;
  else
    v_out := array(
      select o from pgstate.write_many(write_embedded.ops, write_embedded.keys, write_embedded."values", write_embedded.expects, ttls => write_embedded.ttls,
                                       lane => write_embedded.lane, turn => write_embedded.turn, wake => write_embedded.wake,
                                       lock_timeout => write_embedded.lock_timeout, agent => write_embedded.agent) o order by o.ord);
    if v_given then
      v_versions := array(select case when o.status = 'ok' then coalesce(o.version, 0) end from unnest(v_out) o order by o.ord);
      v_puts := array(select o = 'put' from unnest(write_embedded.ops) with ordinality as u (o, ord) order by u.ord);
    end if;
    return query select o.* from unnest(v_out) o;
  end if;
  if v_given then
    v_done := set_config('pgstate.vectors', v_before, true);
    if array_ndims(write_embedded.owners) <> 1 or array_ndims(write_embedded."vectors") is distinct from 2 or array_lower(write_embedded."vectors", 1) <> 1
       or array_length(write_embedded."vectors", 1) <> cardinality(write_embedded.owners) or write_embedded.model is null
       or (1 <= all (write_embedded.owners) and cardinality(write_embedded.keys) >= all (write_embedded.owners)) is not true then
      raise exception using errcode = 'PS007', message = 'owners has for each row of vectors the place of its key, and the model is named';
    end if;
    perform pgstate._keep_vectors(
      pgstate._enter(write_embedded.agent), write_embedded.keys, v_versions, v_puts, write_embedded.owners, write_embedded."vectors", write_embedded.model);
  end if;
end
$$;
comment on function pgstate.write_embedded(text[], text[], jsonb[], bigint[], interval[], int[], real[], text, uuid, bigint, boolean, text, text) is
  'write_many() for entries whose vectors their writers give (set_search() with vector_fields => {}): vectors are rows of numbers, owners has for each the place of its key in keys. Needs read and write. A vector goes with the version that it came with. PS007 PS010, else as write_many().';
