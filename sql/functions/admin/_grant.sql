create function pgstate._grant(
  p_agent text, p_subtree text, p_right text, p_on boolean, p_deny boolean default false, p_ttl interval default null, p_until timestamptz default null
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_until timestamptz := coalesce(p_until, case when pgstate._span_ok(p_ttl) then pgstate._now() + p_ttl end);
begin
  if p_right is null or p_right not in ('read', 'write', 'admin') then
    raise exception using errcode = 'PS007', message = format('unknown right %L', p_right), hint = 'Rights are read, write and admin.';
  elsif p_deny is null or num_nonnulls(p_ttl, p_until) = 2 or not pgstate._span_ok(p_ttl) or v_until not between pgstate._now() and '9999-12-01' then
    raise exception using errcode = 'PS007', message = 'a grant ends after ttl, which is positive and at most 100 years, or until a time to come, or never';
  end if;
  -- who is denied admin somewhere no more administers all that is above: that is for those who administer everything
  perform pgstate._check_admin(v_actor, case when p_deny and p_on and p_right = 'admin' then '**' else p_subtree end);
  v_id := pgstate._agent_id(p_agent, true);
  -- before its rights, as who drops it
  perform from pgstate.agent a where a.id = v_id for no key update;
  if not found then
    perform pgstate._agent_id(p_agent, true);
  end if;
  perform pgstate._subtree_ranges(p_subtree, p_agent);
  if (p_deny or not p_on) and exists (select from pgstate.agent a where a.id = v_id and a.root) then
    raise exception using errcode = 'PS007', message = 'the administrator''s own rights cannot be revoked';
  elsif p_on then
    perform pgstate._refuse_secrets(v_actor, p_subtree, p_subtree);
    perform pgstate._check_room(v_actor, (
      select count(*) from pgstate.access_grant g
       where g.agent_id = v_id and g.granted_by = v_actor.name and (g.subtree, g."right", g.deny) <> (p_subtree, p_right, p_deny)), 1000, format('rights of %s', p_agent));
    insert into pgstate.access_grant as g (agent_id, subtree, "right", deny, until, granted_by) values (v_id, p_subtree, p_right, p_deny, v_until, v_actor.name)
        on conflict on constraint access_grant_pkey do update set until = excluded.until, granted_by = excluded.granted_by, granted_at = excluded.granted_at
     where g.until is distinct from excluded.until;
  else
    delete from pgstate.access_grant g where g.agent_id = v_id and g.subtree = p_subtree and g."right" = p_right and g.deny = p_deny;
    if not found then
      -- a misspelt subtree must not pass for a right taken away
      raise exception using errcode = 'PS007', message = format('%s has no %s of %s on %s', p_agent, case when p_deny then 'denial' else 'grant' end, p_right, p_subtree),
        hint = 'Revoke exactly what was granted: pgstate.grants() lists it.';
    end if;
  end if;
  -- before the watches: who is added to the group meanwhile waits for its row
  perform pgstate._fold_grants(v_id);
  if p_deny = p_on or v_until is not null then
    -- it reaches less now, or will
    perform pgstate._drop_watchers(v_id, null);
    perform pgstate._drop_watchers(m.agent_id, null) from pgstate.group_member m where m.group_id = v_id;
  end if;
  perform pgstate._audit(v_actor, case when p_on then case when p_deny then 'deny' else 'grant' end else 'revoke' end, p_subtree,
                         jsonb_build_object('agent', p_agent, 'right', p_right, 'deny', nullif(p_deny and not p_on, false), 'until', v_until));
end
$$;
comment on function pgstate._grant(text, text, text, boolean, boolean, interval, timestamptz) is 'Internal: grants or denies a right, or takes that back.';
