create function pgstate._drop_policy(p_actor pgstate._actor, p_subtree text, p_settings text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_policy pgstate.policy;
  v_settings text[] := coalesce(p_settings, array['reducer', 'ttl', 'keep', 'value_limit', 'schema',
    'max_attempts', 'backoff', 'backoff_limit', 'dead_letter', 'claimed_writes', 'guard', 'trust']);
  v_setting text;
  v_kept boolean;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  perform pgstate._lock_policies();
  select p.* into v_policy from pgstate.policy p where p.subtree = p_subtree;
  -- a misspelt name must not pass for a rule taken away
  foreach v_setting in array v_settings loop
    if coalesce(v_setting, '') <> all (array['reducer', 'ttl', 'keep', 'value_limit', 'schema',
         'max_attempts', 'backoff', 'backoff_limit', 'dead_letter', 'claimed_writes', 'guard', 'trust']) then
      raise exception using errcode = 'PS007', message = format('unknown setting %L', pgstate._shown(v_setting)),
        hint = 'Settings are reducer, ttl, keep, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard and trust.';
    elsif p_settings is not null and (case v_setting
            when 'reducer' then v_policy.reducer is null when 'ttl' then v_policy.ttl is null when 'schema' then v_policy.schema is null
            when 'value_limit' then v_policy.value_limit is null when 'max_attempts' then v_policy.max_attempts is null
            when 'backoff' then v_policy.backoff is null when 'backoff_limit' then v_policy.backoff_limit is null
            when 'dead_letter' then v_policy.dead_letter is null when 'claimed_writes' then v_policy.claimed_writes is null when 'guard' then v_policy.guard is null
            when 'trust' then v_policy.trust is null
            else num_nonnulls(v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything) = 0 end) then
      raise exception using errcode = 'PS007', message = format('no policy on %s sets %s', p_subtree, v_setting),
        hint = 'pgstate.policies() lists them.';
    end if;
  end loop;
  if v_policy.subtree is null or v_settings = '{}' then
    raise exception using errcode = 'PS007', message = format('there is no policy on %s to drop', p_subtree), hint = 'pgstate.policies() lists them.';
  end if;
  v_kept := num_nonnulls(v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything) > 0;
  if 'reducer' = any (v_settings) then v_policy.reducer := null; end if;
  if 'ttl' = any (v_settings) then v_policy.ttl := null; end if;
  if 'value_limit' = any (v_settings) then v_policy.value_limit := null; end if;
  if 'schema' = any (v_settings) then v_policy.schema := null; end if;
  if 'max_attempts' = any (v_settings) then v_policy.max_attempts := null; end if;
  if 'backoff' = any (v_settings) then v_policy.backoff := null; end if;
  if 'backoff_limit' = any (v_settings) then v_policy.backoff_limit := null; end if;
  if 'dead_letter' = any (v_settings) then v_policy.dead_letter := null; end if;
  if 'claimed_writes' = any (v_settings) then v_policy.claimed_writes := null; end if;
  if 'guard' = any (v_settings) then v_policy.guard := null; end if;
  if 'trust' = any (v_settings) then v_policy.trust := null; end if;
  if 'keep' = any (v_settings) then
    v_policy.keep_versions := null;
    v_policy.keep_age := null;
    v_policy.keep_everything := null;
  end if;
  if num_nonnulls(v_policy.reducer, v_policy.ttl, v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything,
                  v_policy.value_limit, v_policy.schema, v_policy.max_attempts, v_policy.backoff, v_policy.backoff_limit,
                  v_policy.dead_letter, v_policy.claimed_writes, v_policy.guard, v_policy.trust) = 0 then
    delete from pgstate.policy p where p.subtree = p_subtree;
  else
    update pgstate.policy p
       set reducer = v_policy.reducer, ttl = v_policy.ttl, value_limit = v_policy.value_limit, schema = v_policy.schema,
           keep_versions = v_policy.keep_versions, keep_age = v_policy.keep_age, keep_everything = v_policy.keep_everything,
           max_attempts = v_policy.max_attempts, backoff = v_policy.backoff, backoff_limit = v_policy.backoff_limit,
           dead_letter = v_policy.dead_letter, claimed_writes = v_policy.claimed_writes, guard = v_policy.guard, trust = v_policy.trust, set_by = p_actor.name, set_at = pgstate._now()
     where p.subtree = p_subtree;
  end if;
  perform pgstate._policies_changed(p_subtree, v_kept and 'keep' = any (v_settings));
  perform pgstate._audit(p_actor, 'drop_policy', p_subtree, jsonb_build_object('settings', v_settings));
end
$$;
comment on function pgstate._drop_policy(pgstate._actor, text, text[]) is 'Internal: takes settings away, all unless some are named.';
