-- The set-based delete.
create function pgstate.delete_many(
  keys text[], expects bigint[] default null, tokens bigint[] default null, op_ids text[] default null, agent text default null
) returns setof pgstate.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select o.* from pgstate.write_many(array_fill('delete'::text, array[coalesce(cardinality(delete_many.keys), 0)]), delete_many.keys,
    expects => delete_many.expects, tokens => delete_many.tokens, op_ids => delete_many.op_ids, agent => delete_many.agent) o;
end
$$;
comment on function pgstate.delete_many(text[], bigint[], bigint[], text[], text) is
  'delete() for many keys in one statement: one outcome per row, in the order of the input; a refused row harms no other.';
