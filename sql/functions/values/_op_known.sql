-- A statement of its own, because one that waited for another's insert does not see it.
create function pgstate._op_known(p_actor pgstate._actor, p_op_ids text[], p_requests text[], p_states text[]) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select array_agg(case when i.state <> 'known' then i.state
                          when o.request_hash = sha256(convert_to(i.request, 'UTF8')) then 'replay'
                          else 'reused' end order by i.ord)
      from unnest(p_op_ids, p_requests, p_states) with ordinality as i (op_id, request, state, ord)
      left join pgstate.op o on o.agent_id = p_actor.id and o.op_id = pgstate._op_name(i.op_id));
end
$$;
comment on function pgstate._op_known(pgstate._actor, text[], text[], text[]) is 'Internal: tells replays from reused op_ids.';
