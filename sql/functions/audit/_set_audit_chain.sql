create function pgstate._set_audit_chain(p_actor pgstate._actor, p_subtree text, p_active boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if strpos(p_subtree, '{agent}') > 0 then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'A chain is about keys, whoever''s they are: {agent} has no meaning in it.';
  elsif p_active is null then
    raise exception using errcode = 'PS007', message = 'a chain is active or not: true or false';
  end if;
  if p_active then
    perform pgstate._refuse_secrets(p_actor, p_subtree, p_subtree);
    perform pgstate._check_room(p_actor, (
      select count(*) from pgstate.audit_chain c where c.set_by = p_actor.name and c.subtree <> p_subtree), 100, 'chains of the audit trail');
    insert into pgstate.audit_chain as c (subtree, ranges, set_by, set_at)
    values (p_subtree, pgstate._subtree_ranges(p_subtree, p_actor.name), p_actor.name, pgstate._now())
        on conflict on constraint audit_chain_pkey do update set active = true;
    perform pgstate._audit(p_actor, 'set_audit_chain', p_subtree, jsonb_build_object('active', true));
  else
    -- the last thing that it links
    perform pgstate._audit(p_actor, 'set_audit_chain', p_subtree, jsonb_build_object('active', false));
    update pgstate.audit_chain c set active = false where c.subtree = p_subtree;
    if not found then
      raise exception using errcode = 'PS007', message = format('there is no chain on %s', pgstate._shown(p_subtree));
    end if;
  end if;
end
$$;
comment on function pgstate._set_audit_chain(pgstate._actor, text, boolean) is 'Internal: begins a chain, or ends it.';
