-- The agent is locked first, as _fold_grants() does: a grant at the same time folds before or after, never without the mark.
-- The keys whose claims ended.
create function pgstate._suspend(p_actor pgstate._actor, p_agent text) returns text[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_id int;
  v_agent pgstate.agent;
  v_keys text[];
begin
  perform pgstate._check_admin(p_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  begin
    select a.* into v_agent from pgstate.agent a where a.id = v_id for no key update;
    -- what folding takes next: who drops a gateway locks these alone
    perform from pgstate.delegation d where d.agent_name = p_agent order by d.login for no key update;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('%s cannot be suspended while a transaction has changed what it may', p_agent));
  end;
  if v_agent.root then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be suspended';
  elsif v_agent.grouping then
    raise exception using errcode = 'PS007', message = 'a group cannot be suspended: it never acts', hint = 'Suspend its members, or revoke what it is granted.';
  elsif v_id = p_actor.id then
    raise exception using errcode = 'PS007', message = 'an agent cannot suspend itself: nobody might be left to resume it';
  end if;
  if v_agent.suspended_at is null then
    update pgstate.agent a set suspended_at = pgstate._now(), suspended_by = p_actor.name where a.id = v_id;
    perform pgstate._fold_grants(v_id);
    perform pgstate._audit(p_actor, 'suspend', null, jsonb_build_object('agent', p_agent));
  end if;
  perform pgstate._drop_watchers(v_id, null);
  v_keys := pgstate._end_claims(v_id, p_agent);
  return v_keys;
end
$$;
comment on function pgstate._suspend(pgstate._actor, text) is 'Internal: makes an agent nobody.';
