create function pgstate._set_policy(
  p_actor pgstate._actor, p_subtree text, p_reducer text, p_ttl interval, p_keep text, p_value_limit int, p_schema jsonb,
  p_max_attempts int, p_backoff interval, p_backoff_limit interval, p_dead_letter text, p_claimed_writes boolean, p_guard text, p_trust text
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_policy pgstate.policy;
  v_fault text;
begin
  perform pgstate._check_admin(p_actor, p_subtree);
  if strpos(p_subtree, '{agent}') > 0 then
    raise exception using errcode = 'PS002', message = format('invalid subtree %L', pgstate._shown(p_subtree)),
      hint = 'A policy is about keys, whoever writes them: {agent} has no meaning in it.';
  elsif num_nonnulls(p_reducer, p_ttl, p_keep, p_value_limit, p_schema, p_max_attempts, p_backoff, p_backoff_limit, p_dead_letter, p_claimed_writes, p_guard, p_trust) = 0 then
    raise exception using errcode = 'PS007', message = 'a policy sets something: reducer, ttl, keep, value_limit, schema, max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard or trust',
      hint = 'drop_policy(subtree, settings) takes settings away.';
  elsif p_ttl <> interval '0' and not pgstate._span_ok(p_ttl) then
    raise exception using errcode = 'PS007', message = 'ttl is positive and at most 100 years, or 0 for none';
  elsif p_value_limit is not null and p_value_limit not between 1 and (select i.value_limit from pgstate.install i) then
    raise exception using errcode = 'PS007', message = 'value_limit is a number of bytes, at most that of the installation (see pgstate.info())';
  end if;
  if p_guard not in ('refuse', 'redact', 'off') then
    raise exception using errcode = 'PS007', message = 'guard is refuse, redact or off';
  elsif p_guard is distinct from 'off' then
    perform pgstate._refuse_secrets(p_actor, p_subtree, concat_ws(' ', p_subtree, p_dead_letter, p_schema::text));
  end if;
  if p_max_attempts < 1 then
    raise exception using errcode = 'PS007', message = 'max_attempts is at least 1';
  elsif not (pgstate._span_ok(p_backoff) and pgstate._span_ok(p_backoff_limit)) then
    raise exception using errcode = 'PS007', message = 'backoff and backoff_limit are positive and at most 100 years';
  elsif p_dead_letter is not null and not pgstate._key_ok(p_dead_letter) then
    raise exception using errcode = 'PS007', message = format('dead_letter is a key, not %L', pgstate._shown(p_dead_letter)),
      hint = 'tasks/dead for what is to lie below tasks/dead/.';
  elsif p_dead_letter is not null then
    -- it is written there with the rights of whoever gave up, which must not be lent to who may not say what lies there
    perform pgstate._check_admin(p_actor, p_dead_letter || '/**');
  end if;
  if p_reducer is not null and not pgstate._built_in(p_reducer) then
    -- drop_reducer() must not take it away meanwhile
    perform from pgstate.reducer r where r.name = p_reducer for key share;
    if not found then
      raise exception using errcode = 'PS005', message = format('unknown reducer %L', pgstate._shown(p_reducer)),
        hint = 'Built in are replace, append, add, max, min, union, merge, deep_merge, messages and first; register_reducer(name, function) adds one.';
    end if;
  end if;
  if p_schema is not null then
    v_fault := pgstate._schema_unsupported(p_schema);
    if v_fault is not null then
      raise exception using errcode = 'PS007', message = 'schema: ' || v_fault,
        hint = 'The database checks a part of JSON Schema 2020-12, without regular expressions, if/then/else, contains, dependent and unevaluated keywords.';
    end if;
  end if;
  v_policy.keep_everything := nullif(p_keep = 'everything', false);
  if v_policy.keep_everything is null and p_keep is not null then
    begin
      if p_keep ~ '^[0-9]+( versions?)?$' then
        v_policy.keep_versions := substring(p_keep from '^[0-9]+')::int;
      else
        v_policy.keep_age := p_keep::interval;
      end if;
    exception when invalid_datetime_format or datetime_field_overflow or interval_field_overflow or numeric_value_out_of_range then
      v_policy.keep_versions := 0;
    end;
    if v_policy.keep_versions = 0 or not pgstate._span_ok(v_policy.keep_age) then
      raise exception using errcode = 'PS007', message = format('invalid keep %L', pgstate._shown(p_keep)),
        hint = 'Keep everything, a number of versions (''100 versions''), or an interval (''30 days'', at most 100 years).';
    end if;
  end if;

  perform pgstate._lock_policies();
  if v_policy.keep_age is not null then
    -- maintain() follows the feed anew for each
    perform pgstate._check_room(p_actor, (
      select count(distinct p.keep_age) from pgstate.policy p where p.set_by = p_actor.name and p.keep_age <> v_policy.keep_age), 20, 'ages of history');
  end if;
  insert into pgstate.policy as p (subtree, nearness, reducer, ttl, keep_versions, keep_age, keep_everything, value_limit, schema, set_by, set_at,
                              max_attempts, backoff, backoff_limit, dead_letter, claimed_writes, guard, trust)
  values (p_subtree,
          case when p_subtree = '**' then 0
               else 2 * cardinality(string_to_array(regexp_replace(p_subtree, E'/\\*\\*$', ''), '/')) + (p_subtree !~ E'\\*$')::int end,
          p_reducer, p_ttl, v_policy.keep_versions, v_policy.keep_age, v_policy.keep_everything, p_value_limit, p_schema,
          p_actor.name, pgstate._now(), p_max_attempts, p_backoff, p_backoff_limit, p_dead_letter, p_claimed_writes, p_guard, pgstate._trust_named(p_trust))
      on conflict on constraint policy_pkey do update
     set reducer = coalesce(excluded.reducer, p.reducer), ttl = coalesce(excluded.ttl, p.ttl),
         keep_versions = case when p_keep is null then p.keep_versions else excluded.keep_versions end,
         keep_age = case when p_keep is null then p.keep_age else excluded.keep_age end,
         keep_everything = case when p_keep is null then p.keep_everything else excluded.keep_everything end,
         value_limit = coalesce(excluded.value_limit, p.value_limit), schema = coalesce(excluded.schema, p.schema),
         max_attempts = coalesce(excluded.max_attempts, p.max_attempts), backoff = coalesce(excluded.backoff, p.backoff),
         backoff_limit = coalesce(excluded.backoff_limit, p.backoff_limit), dead_letter = coalesce(excluded.dead_letter, p.dead_letter),
         claimed_writes = coalesce(excluded.claimed_writes, p.claimed_writes), guard = coalesce(excluded.guard, p.guard),
         trust = coalesce(excluded.trust, p.trust),
         set_by = excluded.set_by, set_at = excluded.set_at;
  perform pgstate._policies_changed(p_subtree, p_keep is not null);
  -- what holds from now on; a schema, which may be long, by its hash
  perform pgstate._audit(p_actor, 'set_policy', p_subtree, (select to_jsonb(p) - '{subtree,nearness,set_by,set_at}'::text[] || jsonb_build_object('schema', encode(sha256(convert_to(p.schema::text, 'UTF8')), 'hex')) from pgstate.policy p where p.subtree = p_subtree));
end
$$;
comment on function pgstate._set_policy(pgstate._actor, text, text, interval, text, int, jsonb, int, interval, interval, text, boolean, text, text) is 'Internal: sets what is given.';
