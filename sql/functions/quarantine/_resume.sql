create function pgstate._resume(p_actor pgstate._actor, p_agent text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int;
begin
  perform pgstate._check_admin(p_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  perform from pgstate.agent a where a.id = v_id for no key update;
  update pgstate.agent a set suspended_at = null, suspended_by = null where a.id = v_id and a.suspended_at is not null;
  if found then
    perform pgstate._fold_grants(v_id);
    perform pgstate._audit(p_actor, 'resume', null, jsonb_build_object('agent', p_agent));
  end if;
end
$$;
comment on function pgstate._resume(pgstate._actor, text) is 'Internal: lets an agent act again.';
