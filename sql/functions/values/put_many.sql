-- The set-based put.
create function pgstate.put_many(
  keys text[], "values" jsonb[], expects bigint[] default null, ttls interval[] default null,
  tokens bigint[] default null, op_ids text[] default null, agent text default null,
  trusts text[] default null, sources jsonb[] default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('put'::text, array[coalesce(cardinality(put_many.keys), 0)]), put_many.keys,
    "values" => put_many."values", expects => put_many.expects, ttls => put_many.ttls, tokens => put_many.tokens,
    op_ids => put_many.op_ids, agent => put_many.agent, trusts => put_many.trusts, sources => put_many.sources) o;
end
$$;
comment on function pgstate.put_many(text[], jsonb[], bigint[], interval[], bigint[], text[], text, text[], jsonb[]) is
  'put() for many keys in one statement: one outcome per row, in the order of the input; a refused row harms no other.';
