-- The set-based merge.
create function pgstate.merge_many(
  keys text[], operands jsonb[], reducers text[] default null, tokens bigint[] default null, op_ids text[] default null,
  return_value boolean default false, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('merge'::text, array[coalesce(cardinality(merge_many.keys), 0)]), merge_many.keys,
    "values" => merge_many.operands, reducers => merge_many.reducers, tokens => merge_many.tokens, op_ids => merge_many.op_ids,
    return_values => array_fill(merge_many.return_value, array[coalesce(cardinality(merge_many.keys), 0)]), agent => merge_many.agent) o;
end
$$;
comment on function pgstate.merge_many(text[], jsonb[], text[], bigint[], text[], boolean, text) is
  'merge() for many keys in one statement: one outcome per row, in the order of the input; a refused row harms no other.';
