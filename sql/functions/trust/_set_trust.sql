-- The agent is locked first, as _fold_grants() does: neither may write back what the other has changed.
create function pgstate._set_trust(p_agent text, p_trust text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_root boolean;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if p_trust is null then
    raise exception using errcode = 'PS007', message = 'trust is external, agent, verified or operator';
  end if;
  select a.root into v_root from pgstate.agent a where a.id = v_id for no key update;
  if v_root then
    raise exception using errcode = 'PS007', message = 'the administrator''s trust is operator';
  end if;
  update pgstate.agent a set trust = pgstate._trust_named(p_trust) where a.id = v_id;
  update pgstate.reach r set trust = p_trust::pgstate.trust where r.agent_id = v_id;
  update pgstate.login l set trust = p_trust::pgstate.trust where l.agent_id = v_id;
  perform pgstate._audit(v_actor, 'set_trust', null, jsonb_build_object('agent', p_agent, 'trust', p_trust));
end
$$;
comment on function pgstate._set_trust(text, text) is 'Internal: sets the most that what an agent writes is trusted.';
