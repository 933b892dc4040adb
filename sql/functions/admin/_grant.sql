create function pgstate._grant(p_agent text, p_subtree text, p_right text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  if p_right is null or p_right not in ('read', 'write', 'admin') then
    raise exception using errcode = 'PS007', message = format('unknown right %L', p_right), hint = 'Rights are read, write and admin.';
  end if;
  perform pgstate._check_admin(v_actor, p_subtree);
  v_id := pgstate._agent_id(p_agent);
  perform pgstate._subtree_ranges(p_subtree, p_agent);
  if p_on then
    insert into pgstate.access_grant (agent_id, subtree, "right", granted_by) values (v_id, p_subtree, p_right, v_actor.name)
        on conflict do nothing;
  elsif exists (select from pgstate.agent a where a.id = v_id and a.root) then
    raise exception using errcode = 'PS007', message = 'the administrator''s own rights cannot be revoked';
  else
    delete from pgstate.access_grant g where g.agent_id = v_id and g.subtree = p_subtree and g."right" = p_right;
    if not found then
      -- a misspelt subtree must not pass for a right taken away
      raise exception using errcode = 'PS007', message = format('%s has no grant of %s on %s', p_agent, p_right, p_subtree),
        hint = 'Revoke exactly what was granted: pgstate.grants() lists it.';
    end if;
    perform pgstate._drop_watchers(v_id, null);
  end if;
  perform pgstate._fold_grants(v_id);
  perform pgstate._audit(v_actor, case when p_on then 'grant' else 'revoke' end, p_subtree, jsonb_build_object('agent', p_agent, 'right', p_right));
end
$$;
comment on function pgstate._grant(text, text, text, boolean) is 'Internal: grants or revokes a right.';
