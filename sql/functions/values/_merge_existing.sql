-- Merges by built-in reducers on keys that all exist, hold small values and that nobody has claimed: as in _put_existing(),
-- and with the same result: their versions, or null, with nothing done and no lock kept, when any of them is otherwise. What
-- grows by operands (or begins to, above 2000 bytes) is for _write_each(). A key may occur with first right before it is merged,
-- as typed states send it, for a field that is not stored: with one that is, it changes nothing.
--
-- The entries are locked first, in key order (see there); what the reducers make of them is computed from the rows as
-- locked. The last statement has a time from after the waiting, and claims are looked at in one that began when all was locked.
-- Subqueries, no WITH, and as few aggregates as will do: the executor sets up less.
create function pgstate._merge_existing(p_actor pgstate._actor, p_keys text[], p_operands jsonb[], p_reducers text[])
returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_reads pgstate.keymultirange := p_actor.reads + '{}';
  v_writes pgstate.keymultirange := p_actor.writes + '{}';
  v_limit int := least(2000, p_actor.value_limit);
  v_versions bigint[];
  v_changed text[];
  v_same text[];
  v_values jsonb[];
  v_count int;
  v_now timestamptz;
begin
  begin
    select array_agg(case when v_reads @> m.key then case when m.changed then m.version + 1 else m.version end end order by m.ord),
           array_agg(m.key) filter (where m.changed), array_agg(m.merged) filter (where m.changed),
           array_agg(m.merged_key) filter (where not m.changed)
      into v_versions, v_changed, v_values, v_same
      from (
        select r.*, r.merged <> r.value as changed
          from (
            select i.ord, e.key, e.version, e.expires_at, e.value, case when i.reducer <> 'first' then i.key end as merged_key,
                   coalesce(pgstate._reduce_plain(i.reducer, e.value, i.operand), pgstate._reduce(i.reducer, e.value, i.operand)) as merged
              from (
                select u.*
                  from unnest(p_keys, p_operands, p_reducers, p_keys[2:]) with ordinality as u (key, operand, reducer, next_key, ord)
                 where (u.reducer <> 'first' or u.next_key = u.key)
                   and v_writes @> u.key and pg_column_size(u.operand) <= p_actor.value_limit
                 order by u.key collate "C"
                offset 0
              ) i
              cross join lateral (
                select x.key, x.version, x.expires_at, x.value from pgstate.entry x
                 where x.key = i.key and x.value is not null and x.kind = 'value' and x.full_version is null and pg_column_size(x.value) <= 2000
                   for no key update
              ) e
            offset 0
          ) r
         -- neither an operand that does not fit nor a reducer that is not built in makes anything
         where pg_column_size(r.merged) <= v_limit and (r.expires_at is null or r.expires_at > pgstate._now())
        offset 0
      ) m;
    v_now := pgstate._now();
    -- what is not as above is missing; a key that is merged twice and changed needs its operations decided one after the other
    if cardinality(v_versions) is distinct from cardinality(p_keys) or v_changed && v_same then
      raise exception using errcode = 'PS998';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(p_keys);
    end if;
    if exists (select from pgstate.claim c where c.key = any (p_keys) and c.lease_until > v_now) then
      raise exception using errcode = 'PS998';
    end if;
    if v_changed is not null then
      with changed as (
        update pgstate.entry e
           set version = e.version + 1, value = n.value, writer = p_actor.name, via = session_user, updated_at = v_now, trust = least(e.trust, p_actor.trust)
          from unnest(v_changed, v_values) as n (key, value)
         -- the first of them may have expired while the last was waited for
         where e.key = n.key and (e.expires_at is null or e.expires_at > v_now)
        returning e.key, e.version, n.value, e.via, e.expires_at, e.trust
      )
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select c.key, c.version, p_actor.epoch, 'merge', c.value, p_actor.name, c.via, v_now, c.expires_at, c.trust from changed c;
      get diagnostics v_count = row_count;
      if v_count <> cardinality(v_changed) then
        raise exception using errcode = 'PS998';
      end if;
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_versions;
end
$$;
comment on function pgstate._merge_existing(pgstate._actor, text[], jsonb[], text[]) is 'Internal: merges on existing, small, unclaimed entries.';
