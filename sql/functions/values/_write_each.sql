-- Writes of every kind, decided row by row: put, merge, delete, complete and the guards of apply, any number of rows.
--
-- A key that another transaction creates between locking and inserting shows as an insert that did nothing, and the whole
-- decision is made again. With several keys the inner block gives all locks back first, since the next try begins again
-- with the lowest key.
create function pgstate._write_each(
  p_actor pgstate._actor, p_ops text[], p_keys text[], p_values jsonb[], p_expects bigint[], p_expect_values jsonb[],
  p_ttls interval[], p_tokens bigint[], p_priorities int[], p_not_befores timestamptz[], p_reducers text[],
  p_return_values boolean[], p_atomic boolean, p_origins pgstate._origin[] default null
) returns pgstate.outcome[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_out pgstate.outcome[];
begin
  for v_try in 1 .. 20 loop
    if cardinality(p_keys) = 1 then
      v_out := pgstate._try_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                                 p_not_befores, p_reducers, p_return_values, p_atomic, p_origins);
    else
      begin
        v_out := pgstate._try_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                                   p_not_befores, p_reducers, p_return_values, p_atomic, p_origins);
        if v_out is null then
          raise exception using errcode = 'PS999';
        end if;
      exception when sqlstate 'PS999' then
        null;
      end;
    end if;
    if v_out is not null then
      return v_out;
    end if;
  end loop;
  -- a key was created and purged again under every try: nothing is wrong, but this transaction sees no end to it
  raise exception using errcode = '40001', message = 'could not settle the concurrent creation of a key',
    hint = 'Run the transaction again.';
end
$$;
comment on function pgstate._write_each(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean, pgstate._origin[]) is
  'Internal: writes of every kind, decided row by row.';
