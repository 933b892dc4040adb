create function pgstate._use_credential(p_actor pgstate._actor, p_name text, p_purpose text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  if not exists (select from pgstate.credential_grant g
                  where g.agent_id = p_actor.id and g.name in (p_name, '*') and g.purpose in (p_purpose, '*')) then
    perform pgstate._deny();
  end if;
  perform pgstate._audit(p_actor, 'credential', null,
                         jsonb_build_object('name', pgstate._audit_text(p_name, 128), 'purpose', pgstate._audit_text(p_purpose, 128)));
end
$$;
comment on function pgstate._use_credential(pgstate._actor, text, text) is 'Internal: checks that the agent may have a credential resolved, and records it.';
