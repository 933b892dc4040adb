-- The most frequent write, in one statement: puts on different keys that all exist, are at the version expected and that
-- nobody has claimed. Returns their new versions, a null for each that the caller may only write; or null, with nothing
-- done and no lock kept, when any of them is otherwise: _write_each() tells how. A row costs half of what it costs there.
--
-- Lives are told by the value, here and wherever a key is looked up: live would let the planner take the index on waiting
-- tasks for a small one, and keep to it when it has grown.
--
-- Locks in key order: the join is a nested loop over the sorted input. What the entry must be like is checked on the row
-- as locked, except for the time, which is told before a lock is waited for (PostgreSQL looks again only at a row that has
-- changed meanwhile): after a wait everything is decided anew. Claims are looked at after that, in a statement of its own:
-- one that waited for a claimer's lock has a snapshot from before the claim. The inner block takes everything back.
--
-- Here and in other functions for many keys the actor's ranges are detoasted once, by the union with '{}': of 200 grants a look
-- takes as long as a fourth of a row.
create function pgstate._put_existing(
  p_actor pgstate._actor, p_keys text[], p_values jsonb[], p_expects bigint[], p_ttls interval[], p_priorities int[],
  p_not_befores timestamptz[]
) returns bigint[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_reads pgstate.keymultirange := p_actor.reads + '{}';
  v_writes pgstate.keymultirange := p_actor.writes + '{}';
  v_versions bigint[];
  v_now timestamptz := pgstate._now();
begin
  begin
    with input as materialized (
      select u.*
        from unnest(p_keys, p_values, p_expects, p_ttls, p_priorities, p_not_befores) with ordinality
             as u (key, value, expect, ttl, priority, not_before, ord)
       where v_writes @> u.key and (u.expect is null or u.expect > 0 and v_reads @> u.key)
         and pg_column_size(u.value) <= p_actor.value_limit
         and (u.ttl is null or pgstate._span_ok(u.ttl))
         and (u.not_before is null or u.not_before between '1970-01-01' and '9999-12-01')
       order by u.key collate "C"
    ), updated as (
      update pgstate.entry e
         set version = e.version + 1, value = i.value, writer = p_actor.name, via = session_user, updated_at = v_now, trust = p_actor.trust,
             expires_at = v_now + i.ttl, priority = coalesce(i.priority, e.priority),
             not_before = coalesce(i.not_before, e.not_before), full_version = null
        from input i
       where e.key = i.key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > v_now)
         and (i.expect is null or e.version = i.expect)
      returning i.ord, e.key, e.version, i.value, e.via, e.expires_at
    ), recorded as (
      insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at, trust)
      select u.key, u.version, p_actor.epoch, 'put', u.value, p_actor.name, u.via, v_now, u.expires_at, p_actor.trust
        from updated u
    )
    select array_agg(case when v_reads @> u.key then u.version end order by u.ord) into v_versions
      from updated u;
    -- a key that occurs twice is updated once, and needs its operations decided one after the other
    if cardinality(v_versions) is distinct from cardinality(p_keys)
       or pgstate._now() > v_now + interval '50 ms' + cardinality(p_keys) * interval '0.2 ms' then
      raise exception using errcode = 'PS998';
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(p_keys);
    end if;
    if exists (select from pgstate.claim c where c.key = any (p_keys) and c.lease_until > pgstate._now()) then
      raise exception using errcode = 'PS998';
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_versions;
end
$$;
comment on function pgstate._put_existing(pgstate._actor, text[], jsonb[], bigint[], interval[], int[], timestamptz[]) is
  'Internal: puts on existing, unclaimed keys.';
