create function pgstate._op_outcome(p_actor pgstate._actor, p_op_id text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select o.outcome from pgstate.op o where o.agent_id = p_actor.id and o.op_id = pgstate._op_name(p_op_id));
end
$$;
comment on function pgstate._op_outcome(pgstate._actor, text) is 'Internal: the stored outcome of an op_id.';
