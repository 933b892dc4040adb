create function pgstate._op_end(p_actor pgstate._actor, p_op_id text, p_outcome jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_outcome is null then
    -- refused: nothing was done, and a corrected request may use the id
    delete from pgstate.op o where o.agent_id = p_actor.id and o.op_id = pgstate._op_name(p_op_id);
  else
    update pgstate.op o set outcome = p_outcome where o.agent_id = p_actor.id and o.op_id = pgstate._op_name(p_op_id);
  end if;
end
$$;
comment on function pgstate._op_end(pgstate._actor, text, jsonb) is 'Internal: stores the outcome of an op_id.';
