-- One try of _write_each(): the outcomes, or null when another transaction created a missing key meanwhile.
--
-- Order of locks: existing entries in key order (one statement, whose lateral subquery locks row by row in the order
-- of the sorted input), then missing keys by inserting them in key order. Claims change only under their entry's lock,
-- so they are read in a statement of their own after it (one that waited for a lock keeps the snapshot of before).
-- Nothing is written before every row is decided, so an atomic write that fails has nothing to undo.
--
-- p_return_values: which rows want the merged value. p_atomic: all or nothing.
create function pgstate._try_each(
  p_actor pgstate._actor, p_ops text[], p_keys text[], p_values jsonb[], p_expects bigint[], p_expect_values jsonb[],
  p_ttls interval[], p_tokens bigint[], p_priorities int[], p_not_befores timestamptz[], p_reducers text[],
  p_return_values boolean[], p_atomic boolean, p_origins pgstate._origin[] default null
) returns pgstate.outcome[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_slots pgstate._slot[];
  v_claims pgstate.claim[];
  v_allowed text[];
  v_out pgstate.outcome[];
  v_inserts pgstate.entry[];
  v_updates pgstate.entry[];
  v_tails pgstate.entry[];
  v_versions pgstate.version[];
  v_unclaim text[];
  v_threads text[];
  v_now timestamptz;
  v_via text := session_user;
  v_trust pgstate.trust;
  v_cap pgstate.trust;
  v_failed boolean;
  s pgstate._slot;
  -- the entry that the loop is at
  v_last int;
  v_key text;
  v_found boolean;
  v_version bigint;
  v_live boolean;
  v_lapsed boolean;
  v_writer text;
  v_created_at timestamptz;
  v_expires_at timestamptz;
  v_priority int;
  v_not_before timestamptz;
  v_dirty boolean;
  v_token bigint;
  -- its value now, if it is known; else the last full value, if it was written here, and the operands since
  v_known boolean;
  v_value jsonb;
  v_rebased boolean;
  v_full jsonb;
  v_reducers text[];
  v_operands jsonb[];
  v_full_version bigint;
  v_tail_count int;
  v_tail_bytes int;
  v_full_bytes int;
  v_full_type text;
  -- the decision about one operation
  v_status text;
  v_code text;
  v_message text;
  v_op text;
  v_new jsonb;
  v_grows boolean;
  v_tail boolean;
  v_rules pgstate._policy;
  v_reducer text;
  v_limit int;
  v_floor bigint;
  v_denied text[];
  v_done text;
  v_suspect boolean := pgstate._may_be_secret(array_to_string(p_keys, ' ') || ' ' || coalesce(array_to_string(p_values, ' '), ''));
  v_secret text;
begin
  select array_agg(row(
           i.ord, i.op, i.key, i.operand, i.expect, i.expect_value, i.ttl, i.token, i.priority, i.not_before, i.reducer,
           i.return_value, i.code, i.readable, e.key is not null, e.kind, coalesce(e.version, 0), coalesce(e.live, false),
           case when e.small then e.value end, e.created_at, e.expires_at, coalesce(e.priority, 0), e.not_before,
           coalesce(e.small, true), e.full_version, e.tail_count, e.tail_bytes, e.full_bytes, e.full_type, e.trust, i.origin_trust, i.origin_meta, i.origin_fault)::pgstate._slot)
    into v_slots
    from (
      select u.*, (select p_actor.reads + '{}') @> u.key as readable,
             case
               when u.key is null or not pgstate._key_ok(u.key) then 'PS001'
               when u.op = 'replay' then 'PS000'
               when not ((select p_actor.writes + '{}') @> u.key and (
                      (select p_actor.reads + '{}') @> u.key
                      -- blind writes need no right to read, whatever compares or returns does
                      or u.op in ('put', 'merge', 'delete') and u.expect is null and u.expect_value is null
                         and u.token is null and not coalesce(u.return_value, false))) then 'PS010'
               when u.origin_fault is not null then u.origin_fault
               when u.op in ('put', 'merge') and u.operand is null then 'PS003'
               when u.op in ('put', 'merge') and pg_column_size(u.operand) > p_actor.value_limit then 'PS004'
               when u.op = 'merge' and not pgstate._built_in(u.reducer) and not (u.reducer is null and p_actor.policies) then 'PS005'
               when not pgstate._span_ok(u.ttl) or u.expect < 0 or u.not_before not between '1970-01-01' and '9999-12-01'
                    or u.op = 'complete' and u.token is null then 'PS007'
               when u.op is null or u.op not in ('put', 'merge', 'delete', 'complete', 'check', 'exists', 'absent') then 'PS007'
             end as code
        from unnest(p_ops, p_keys, p_values, p_expects, p_expect_values, p_ttls, p_tokens, p_priorities, p_not_befores,
                    p_reducers, p_return_values, p_origins) with ordinality
             as u (op, key, operand, expect, expect_value, ttl, token, priority, not_before, reducer, return_value, origin_trust, origin_meta, origin_fault, ord)
       order by u.key collate "C", u.ord
    ) i
    left join lateral (
      -- a large value is looked up when it is needed: most writes need none
      select x.*, coalesce(pg_column_size(x.value), 0) <= 2000 and (x.full_version < x.version) is not true as small
        from pgstate.entry x where x.key = i.key and i.code is null for update
    ) e on true;

  -- of those that the caller may write: a look at others would show in the caller's own statistics
  v_allowed := array(select (x).key from unnest(v_slots) x where (x).code is null);
  if cardinality(v_allowed) > 0 then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(v_allowed);
    end if;
    select array_agg(c) into v_claims
      from pgstate.claim c
     where c.key = any (v_allowed) and c.lease_until > '-infinity';
  end if;

  v_now := pgstate._now();
  v_out := array_fill(null::pgstate.outcome, array[cardinality(p_keys)]);
  v_inserts := '{}';
  v_updates := '{}';
  v_tails := '{}';
  v_versions := '{}';
  v_unclaim := '{}';
  v_threads := '{}';
  v_failed := false;
  v_key := null;
  v_last := cardinality(v_slots);

  for v_index in 1 .. v_last loop
    s := v_slots[v_index];
    v_status := 'ok';
    v_code := s.code;
    v_message := null;
    v_op := null;
    v_tail := false;

    if s.origin_fault = 'PS007' and v_code = 'PS007' then
      v_message := 'trust is external, agent, verified or operator, and a source is a key, or {"key", "version"}, that is there';
    end if;
    if v_code is null and v_key is distinct from s.key then
      v_key := s.key;
      v_found := s.found;
      v_version := s.version;
      if v_version = 0 then
        -- a key that has no history, or none any more: see _insert_entries()
        if v_floor is null then
          v_floor := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
        end if;
        v_version := v_floor;
      end if;
      v_known := s.known;
      v_value := s.value;
      v_rebased := false;
      v_full := null;
      v_reducers := '{}';
      v_operands := '{}';
      v_full_version := s.full_version;
      v_tail_count := s.tail_count;
      v_tail_bytes := s.tail_bytes;
      v_full_bytes := s.full_bytes;
      v_full_type := s.full_type;
      v_trust := s.trust;
      v_cap := p_actor.trust;
      v_created_at := s.created_at;
      v_expires_at := s.expires_at;
      v_priority := s.old_priority;
      v_not_before := s.old_not_before;
      v_lapsed := s.live and coalesce(s.expires_at <= v_now, false);
      v_live := s.live and not v_lapsed;
      v_writer := null;
      v_dirty := false;
      v_token := null;
      v_limit := p_actor.value_limit;
      if p_actor.policies then
        v_rules := pgstate._policy_of(v_key);
        v_limit := least(v_limit, v_rules.value_limit);
        v_cap := least(v_cap, v_rules.trust);
      end if;
      if v_claims is not null and v_live then
        select c.token into v_token from unnest(v_claims) c where c.key = v_key and c.lease_until > v_now;
      end if;
    end if;

    -- a guard as absent leaves the key in a tombstone
    if v_suspect and v_code is null and s.op in ('put', 'merge', 'check', 'absent') then
      v_secret := pgstate._secret_rule(s.key || ' ' || coalesce(s.operand::text, ''));
      if v_secret is not null and v_rules.guard is distinct from 'off' then
        if v_rules.guard = 'redact' and pgstate._secret_rule(s.key) is null then
          s.operand := pgstate._redact(s.operand::text)::jsonb;
        else
          v_code := 'PS009';
          v_message := v_secret;
        end if;
      end if;
    end if;

    if v_code is null then
      if not v_known and v_live and (s.expect_value is not null or s.return_value) then
        v_value := pgstate._fold(case when v_rebased then v_full else pgstate._current_value(v_key) end, v_reducers, v_operands);
        v_known := true;
      end if;
      if v_live and s.kind <> 'value' and s.op not in ('check', 'exists', 'absent') then
        v_code := 'PS040';
      elsif s.token is not null and (v_token is distinct from s.token or not exists (
              select from unnest(v_claims) c where c.key = v_key and c.token = s.token and c.holder_id = p_actor.id)) then
        v_status := 'stale';
      elsif s.token is null and v_token is not null and s.op in ('put', 'merge', 'delete')
            and not (p_actor.policies and pgstate._claimed_writes(v_key)) then
        v_status := 'held';
      elsif s.op = 'exists' then
        v_status := case when v_live then 'ok' else 'missing' end;
      elsif s.op = 'absent' then
        v_status := case when v_live then 'conflict' else 'ok' end;
        -- two writes that each guard the other's absence must not both pass: the absent key is locked by a tombstone
        v_dirty := v_dirty or not v_found;
      elsif s.op in ('delete', 'complete') and not v_live then
        v_status := case when s.expect > 0 then 'conflict' else 'missing' end;
      elsif s.expect is not null and s.expect <> (case when v_live then v_version else 0 end)
         or s.expect_value is not null and (not v_live or s.expect_value <> v_value) then
        v_status := 'conflict';
      elsif s.op = 'check' then
        v_dirty := v_dirty or not v_found;
      elsif s.op in ('delete', 'complete') then
        v_op := s.op;
        v_new := null;
      elsif s.op = 'put' then
        v_op := 'put';
        v_new := s.operand;
        if pg_column_size(v_new) > v_limit then
          v_code := 'PS004';
        end if;
      else
        v_reducer := coalesce(s.reducer, v_rules.reducer);
        if v_live and v_full_version is null and not v_known
           and v_reducer in ('append', 'union', 'merge', 'deep_merge', 'messages') then
          -- from here on it grows by operands, for which only its type need be known
          v_value := pgstate._current_value(v_key);
          v_known := true;
          v_full_version := v_version;
          v_tail_count := 0;
          v_tail_bytes := 0;
          v_full_type := jsonb_typeof(v_value);
          -- out of its compressed form, in which it may be any size
          v_full_bytes := pg_column_size(case v_full_type when 'array' then v_value || '[]' when 'object' then v_value || '{}' else v_value end);
        end if;
        if v_live and v_full_version is not null then
          v_grows := pgstate._operand_grows(v_reducer, v_full_type, s.operand);
          -- at least 16, and when they outweigh the full value a new one is written
          v_tail := v_grows is not null and v_full_bytes + v_tail_bytes + pg_column_size(s.operand) <= v_limit
                    and (v_tail_count < 16 or v_tail_bytes + pg_column_size(s.operand) <= v_full_bytes);
        end if;
        if v_reducer is null then
          v_code := 'PS005';
        elsif v_tail then
          if v_grows or s.ttl is not null then
            v_op := 'merge';
            -- only the whole of it can tell whether it fits its schema
            v_new := case when v_rules.schema is not null then
              pgstate._fold(case when v_known then v_value when v_rebased then v_full else pgstate._current_value(v_key) end,
                            case when v_known then array[v_reducer] else v_reducers || v_reducer end,
                            case when v_known then array[s.operand] else v_operands || s.operand end) end;
          end if;
        else
          if not v_known and v_live then
            v_value := pgstate._fold(case when v_rebased then v_full else pgstate._current_value(v_key) end, v_reducers, v_operands);
            v_known := true;
          end if;
          v_new := case when pgstate._built_in(v_reducer) then pgstate._reduce(v_reducer, case when v_live then v_value end, s.operand)
                        else pgstate._reduce_by(v_reducer, case when v_live then v_value end, s.operand) end;
          -- of harmless parts an own one may make a secret
          if not pgstate._built_in(v_reducer) and v_rules.guard is distinct from 'off' then
            v_secret := pgstate._secret_rule(v_new::text);
            if v_rules.guard = 'redact' then
              v_new := pgstate._redact(v_new::text)::jsonb;
              v_secret := null;
            end if;
          else
            v_secret := null;
          end if;
          if v_new is null then
            v_code := 'PS006';
            if not pgstate._built_in(v_reducer) then
              v_message := case when pgstate._own_reducer(v_reducer) is null
                then format('the function of reducer %s has changed or is gone since it was registered: register_reducer() takes it as it is now', v_reducer)
                else format('the function of reducer %s gave no value', v_reducer) end;
            end if;
          elsif v_secret is not null then
            v_code := 'PS009';
            v_message := v_secret;
          elsif pg_column_size(v_new) > v_limit then
            v_code := 'PS004';
          elsif not v_live or v_new <> v_value or s.ttl is not null then
            v_op := 'merge';
          end if;
        end if;
      end if;
    end if;

    if v_op in ('put', 'merge') and v_code is null and v_rules.schema is not null then
      v_message := pgstate._schema_error(v_rules.schema, v_new);
      if v_message is not null then
        v_code := 'PS008';
        -- which path does not fit describes the value, and with a merge a hidden one
        v_message := case when s.readable then v_message end;
      end if;
    end if;
    if v_code is not null then
      v_op := null;
    end if;

    if v_op is not null then
      if v_lapsed then
        -- what stood here expired before this write: history says so first
        v_version := v_version + 1;
        v_versions := v_versions || row(v_key, v_version, p_actor.epoch, null, null, 'expire', false, null, 'pgstate', v_via,
                                        v_now, null, null, null, v_trust)::pgstate.version;
        v_unclaim := v_unclaim || v_key;
        if s.kind <> 'value' then
          v_threads := v_threads || v_key;
        end if;
        v_lapsed := false;
      end if;
      v_version := v_version + 1;
      -- what is merged in makes nothing more trusted
      v_trust := least(v_cap, s.origin_trust, case when v_op = 'merge' and v_live then v_trust end);
      v_expires_at := case when v_op = 'put' or not v_live then v_now + coalesce(s.ttl, v_rules.ttl)
                           when v_op = 'merge' then coalesce(v_now + s.ttl, v_expires_at) end;
      if v_op in ('delete', 'complete') then
        v_expires_at := null;
        v_unclaim := v_unclaim || v_key;
        v_token := null;
      elsif not v_live then
        v_created_at := v_now;
        v_priority := coalesce(s.priority, 0);
        v_not_before := s.not_before;
      else
        v_priority := coalesce(s.priority, v_priority);
        v_not_before := coalesce(s.not_before, v_not_before);
      end if;
      v_versions := v_versions || row(v_key, v_version, p_actor.epoch, null, null, v_op, v_op in ('put', 'merge') and not v_live,
                                      case when v_tail then s.operand else v_new end, p_actor.name, v_via, v_now, v_expires_at, s.origin_meta,
                                      case when v_tail then v_reducer end, v_trust)::pgstate.version;
      v_live := v_op in ('put', 'merge');
      if v_tail then
        v_reducers := v_reducers || v_reducer;
        v_operands := v_operands || s.operand;
        v_tail_count := v_tail_count + 1;
        v_tail_bytes := v_tail_bytes + pg_column_size(s.operand);
        v_known := false;
      else
        v_known := true;
        v_value := v_new;
        v_rebased := true;
        v_full := v_new;
        v_reducers := '{}';
        v_operands := '{}';
        v_full_version := null;
        if v_op = 'merge' and pg_column_size(v_new) > 2000 then
          v_full_version := v_version;
          v_tail_count := 0;
          v_tail_bytes := 0;
          -- as it is when a merge has left it as it was: compressed
          v_full_bytes := pg_column_size((array[v_new])[1]);
          v_full_type := jsonb_typeof(v_new);
        end if;
      end if;
      v_writer := p_actor.name;
      v_dirty := true;
    end if;

    if not v_known and v_live and (s.return_value or s.readable and v_status in ('conflict', 'held', 'stale')) then
      v_value := pgstate._fold(case when v_rebased then v_full else pgstate._current_value(v_key) end, v_reducers, v_operands);
      v_known := true;
    end if;
    if v_code is not null then
      if v_code = 'PS010' and s.origin_fault is null then
        v_denied := v_denied || s.key;
      end if;
      v_status := case v_code when 'PS010' then 'denied' else 'invalid' end;
      v_out[s.ord] := row(s.ord, v_status, null, null, v_code, v_message, null)::pgstate.outcome;
    elsif v_status = 'ok' then
      -- a caller who may only write learns no version
      v_out[s.ord] := row(s.ord, 'ok', case when s.readable then case when v_live or v_op is not null then v_version else 0 end end,
                          case when s.return_value then v_value end, null, null, null)::pgstate.outcome;
    elsif s.readable and v_status in ('conflict', 'held', 'stale') then
      v_out[s.ord] := row(s.ord, v_status, case when v_live then v_version else 0 end, case when v_live then v_value end,
                          null, null, null)::pgstate.outcome;
    elsif s.readable or v_status <> 'missing' then
      v_out[s.ord] := row(s.ord, v_status, null, null, null, null, null)::pgstate.outcome;
    else
      -- a blind delete tells nobody whether there was anything
      v_out[s.ord] := row(s.ord, 'ok', null, null, null, null, null)::pgstate.outcome;
    end if;
    v_failed := v_failed or v_out[s.ord].status <> 'ok';

    if v_dirty and (v_index = v_last or v_slots[v_index + 1].key is distinct from v_key) then
      if not v_found then
        v_inserts := v_inserts || row(v_key, null, 'value', case when v_writer is null then 0 else v_version end, v_live, v_full, coalesce(v_writer, p_actor.name), v_via,
                                      coalesce(v_created_at, v_now), v_now, v_expires_at, v_priority, v_not_before, v_full_version,
                                      v_tail_count, v_tail_bytes, v_full_bytes, v_full_type, coalesce(v_trust, v_cap))::pgstate.entry;
      elsif v_rebased then
        v_updates := v_updates || row(v_key, null, 'value', v_version, v_live, v_full, v_writer, v_via, v_created_at, v_now,
                                      v_expires_at, v_priority, v_not_before, v_full_version,
                                      v_tail_count, v_tail_bytes, v_full_bytes, v_full_type, coalesce(v_trust, v_cap))::pgstate.entry;
      else
        v_tails := v_tails || row(v_key, null, null, v_version, null, null, v_writer, v_via, null, v_now, v_expires_at, v_priority,
                                  v_not_before, v_full_version, v_tail_count, v_tail_bytes, v_full_bytes, v_full_type, coalesce(v_trust, v_cap))::pgstate.entry;
      end if;
      v_dirty := false;
    end if;
  end loop;

  if v_denied is not null then
    v_done := pgstate._audit_denied(p_actor, v_denied[1], jsonb_build_object('asked', 'write', 'keys', nullif(cardinality(v_denied), 1)));
  end if;

  if p_atomic and v_failed then
    for v_index in 1 .. v_last loop
      if v_out[v_index].status = 'ok' then
        v_out[v_index] := row(v_index, 'skipped', null, null, null, null, null)::pgstate.outcome;
      end if;
    end loop;
    return v_out;
  end if;

  if cardinality(v_inserts) > 0 and not pgstate._insert_entries(v_inserts, v_floor) then
    return null;
  end if;

  if cardinality(v_updates) > 0 then
    update pgstate.entry e
       set kind = n.kind, version = n.version, live = n.live, value = n.value, writer = n.writer, via = n.via, created_at = n.created_at,
           updated_at = n.updated_at, expires_at = n.expires_at, priority = n.priority, not_before = n.not_before,
           full_version = n.full_version, tail_count = n.tail_count, tail_bytes = n.tail_bytes, full_bytes = n.full_bytes,
           full_type = n.full_type, trust = n.trust
      from unnest(v_updates) n
     where e.key = n.key;
  end if;
  if cardinality(v_tails) > 0 then
    -- apart, and without the value: an assigned one would be stored again, however large
    update pgstate.entry e
       set version = n.version, writer = n.writer, via = n.via, updated_at = n.updated_at, expires_at = n.expires_at,
           priority = n.priority, not_before = n.not_before, full_version = n.full_version, tail_count = n.tail_count, tail_bytes = n.tail_bytes, full_bytes = n.full_bytes,
           full_type = n.full_type, trust = n.trust
      from unnest(v_tails) n
     where e.key = n.key;
  end if;
  if cardinality(v_versions) > 0 then
    insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, reducer, meta, trust)
    select n.key, n.version, n.epoch, n.op, n.created, n.value, n.writer, n.via, n.at, n.expires_at, n.reducer, n.meta, n.trust
      from unnest(v_versions) n;
  end if;
  if cardinality(v_unclaim) > 0 then
    delete from pgstate.claim c where c.key = any (v_unclaim);
  end if;
  if cardinality(v_threads) > 0 then
    perform pgstate._detach_threads(v_threads);
  end if;
  return v_out;
end
$$;
comment on function pgstate._try_each(pgstate._actor, text[], text[], jsonb[], bigint[], jsonb[], interval[], bigint[], int[], timestamptz[], text[], boolean[], boolean, pgstate._origin[]) is
  'Internal: one try of _write_each().';
