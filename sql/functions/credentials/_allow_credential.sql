create function pgstate._allow_credential(p_agent text, p_name text, p_purpose text, p_on boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if (p_name = '*' or p_name ~ '^[A-Za-z0-9._-]{1,128}$') is not true or (octet_length(p_purpose) between 1 and 128) is not true then
    raise exception using errcode = 'PS007', message = 'the name of a credential has 1 to 128 of A-Z a-z 0-9 . _ -, or is * for any; a purpose has 1 to 128 bytes, * for any';
  elsif p_on then
    insert into pgstate.credential_grant (agent_id, name, purpose, granted_by, granted_at)
    values (v_id, p_name, p_purpose, v_actor.name, pgstate._now()) on conflict do nothing;
  else
    delete from pgstate.credential_grant g where g.agent_id = v_id and g.name = p_name and g.purpose = p_purpose;
    if not found then
      -- a misspelt purpose must not pass for a credential taken away
      raise exception using errcode = 'PS007', message = format('%s has no credential %s for %s', p_agent, p_name, pgstate._shown(p_purpose)),
        hint = 'Take back exactly what was allowed: pgstate.credentials() lists it.';
    end if;
  end if;
  perform pgstate._audit(v_actor, case when p_on then 'allow_credential' else 'disallow_credential' end, null,
                         jsonb_build_object('agent', p_agent, 'name', p_name, 'purpose', p_purpose));
end
$$;
comment on function pgstate._allow_credential(text, text, text, boolean) is 'Internal: lets an agent have a credential resolved, or not.';
