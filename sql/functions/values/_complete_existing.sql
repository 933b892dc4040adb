-- Completing different keys whose claims the caller holds, in three statements; with places to move their values or results
-- to where nothing was ever. Returns the keys' new versions; or null, with nothing done and no lock kept, when anything is
-- otherwise: _write_each() tells how. Locks as in _put_existing(): the entries in key order, then the claims.
create function pgstate._complete_existing(
  p_actor pgstate._actor, p_keys text[], p_tokens bigint[], p_results jsonb[], p_move_tos text[]
) returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_versions bigint[];
  v_count int := cardinality(p_keys);
  v_values jsonb[];
  v_trusts pgstate.trust[];
  v_metas jsonb[];
  v_texts text;
  v_ended int;
  v_entries pgstate.entry[];
  v_floor bigint := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
  v_now timestamptz := pgstate._now();
begin
  if exists (select from unnest(p_keys) k where k is null or not ((select p_actor.reads + '{}') @> k and (select p_actor.writes + '{}') @> k))
     or exists (select from unnest(p_move_tos) k where k is not null and not ((select p_actor.writes + '{}') @> k and pgstate._key_ok(k)))
     or (select count(*) <> count(distinct k collate "C") from unnest(p_keys || p_move_tos) k where k is not null)
     or exists (select from unnest(p_results) r where pg_column_size(r) > p_actor.value_limit)
     or p_actor.policies and p_move_tos is not null and pgstate._has_rules(p_move_tos) then
    return null;
  end if;
  begin
    if p_move_tos is not null then
      select array_agg(coalesce(x.result, x.value) order by x.ord), array_agg(case when x.result is null then least(x.trust, p_actor.trust) else p_actor.trust end order by x.ord),
             -- whose value it was is not lost
             array_agg(case when x.result is null then jsonb_build_object('sources', jsonb_build_array(jsonb_build_object('key', x.key, 'version', x.version))) end order by x.ord),
             string_agg(coalesce(x.result, x.value)::text, ' ') into v_values, v_trusts, v_metas, v_texts
        from (select i.ord, i.result, e.key, e.version, e.trust,
                     case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value
                from (select u.* from unnest(p_keys, p_results) with ordinality as u (key, result, ord) order by u.key collate "C") i
                join pgstate.entry e on e.key = i.key and e.value is not null
               order by e.key for update of e) x;
      if cardinality(v_values) is distinct from v_count
         -- what was there may have been written where no guard was
         or pgstate._may_be_secret(array_to_string(p_move_tos, ' ') || ' ' || v_texts) then
        raise exception using errcode = 'PS998';
      end if;
    end if;
    with input as materialized (
      select u.* from unnest(p_keys) with ordinality as u (key, ord) order by u.key collate "C"
    ), ended as (
      update pgstate.entry e
         set version = e.version + 1, live = false, value = null, writer = p_actor.name, via = session_user, updated_at = v_now,
             expires_at = null, full_version = null, trust = case when p_actor.policies then pgstate._capped(p_actor.trust, e.key) else p_actor.trust end
        from input i
       where e.key = i.key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > v_now)
      returning i.ord, e.key, e.version, e.trust
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
      select u.key, u.version, p_actor.epoch, 'complete', p_actor.name, session_user, v_now, u.trust from ended u
    )
    select array_agg(u.version order by u.ord) into v_versions from ended u;
    if cardinality(v_versions) is distinct from v_count then
      raise exception using errcode = 'PS998';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(p_keys);
    end if;
    delete from pgstate.claim c using unnest(p_keys, p_tokens) i (key, token)
     where c.key = i.key and c.token = i.token and c.holder_id = p_actor.id and c.lease_until > pgstate._now();
    get diagnostics v_ended = row_count;
    if v_ended <> v_count then
      raise exception using errcode = 'PS998';
    end if;
    if p_move_tos is not null then
      v_entries := array(
        select row(m.key, null, 'value', v_floor + 1, true, m.value, p_actor.name, session_user, v_now, v_now, null, 0, null, null, null, null, null, null, m.trust)::pgstate.entry
          from unnest(p_move_tos, v_values, v_trusts) m (key, value, trust) where m.key is not null order by m.key collate "C");
      if not pgstate._insert_entries(v_entries, v_floor) then
        raise exception using errcode = 'PS998';
      end if;
      insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, meta, trust)
      select m.key, v_floor + 1, p_actor.epoch, 'put', true, m.value, p_actor.name, session_user, v_now, m.meta, m.trust
        from unnest(p_move_tos, v_values, v_trusts, v_metas) m (key, value, trust, meta) where m.key is not null order by m.key collate "C";
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_versions;
end
$$;
comment on function pgstate._complete_existing(pgstate._actor, text[], bigint[], jsonb[], text[]) is 'Internal: completes claimed entries.';
