-- The one way in for writes. Puts on different keys go the short way, if it takes them all; everything else goes row by row.
create function pgstate._write(
  p_actor pgstate._actor, p_ops text[], p_keys text[], p_values jsonb[], p_expects bigint[], p_expect_values jsonb[],
  p_ttls interval[], p_tokens bigint[], p_priorities int[], p_not_befores timestamptz[], p_reducers text[],
  p_return_values boolean[], p_atomic boolean
) returns pgstate.outcome[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_versions bigint[];
begin
  if p_tokens is null and p_expect_values is null and p_return_values is null and not p_atomic
     and 'put' = all (p_ops) and (0 = any (p_expects)) is not true
     and (cardinality(p_keys) = 1 or (select count(distinct k) = cardinality(p_keys) from unnest(p_keys) k))
  then
    v_versions := pgstate._put_existing(p_actor, p_keys, p_values, p_expects, p_ttls, p_priorities, p_not_befores);
    if v_versions is not null then
      if cardinality(v_versions) = 1 then
        return array[row(1, 'ok', case when p_actor.reads @> p_keys[1] then v_versions[1] end, null, null, null, null)::pgstate.outcome];
      end if;
      return array(
        select row(v.ord, 'ok', case when p_actor.reads @> p_keys[v.ord] then v.version end, null, null, null, null)::pgstate.outcome
          from unnest(v_versions) with ordinality as v (version, ord));
    end if;
  end if;
  return pgstate._write_each(p_actor, p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities,
                             p_not_befores, p_reducers, p_return_values, p_atomic);
end
$$;
comment on function pgstate._write(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean) is
  'Internal: the one way in for writes.';
