-- The best waiting entries: highest priority, then oldest. They are locked with SKIP LOCKED, then claimed. When there are
-- fewer than asked for, one more element says so, and when to look again.
--
-- Cost must not follow the work that was done before: while an old snapshot is held open, the index entries of finished work
-- stay at the head of the queue, and claimed work is there anyway. A session that had to pass over many remembers where it
-- found the first (place), and begins there for a second; what is new and more urgent it looks for first. Work that
-- comes back meanwhile (given back, its lease ended, made more urgent) may have to let others go before for that second, never
-- longer; when nothing else is found, everything is looked at.
--
-- offset 0 keeps each claim a lookup by its key: of a small table of claims the planner would make one end of a join, read
-- whole for each entry, with all that an old snapshot keeps in it.
create function pgstate._next_claims(
  p_actor pgstate._actor, p_agent text, p_pattern text, p_limit int, p_lease interval, p_min pgstate.trust
) returns pgstate.claimed[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_ranges pgstate.keymultirange;
  v_range pgstate.keyrange;
  v_regex text;
  v_parent text;
  v_found pgstate.entry[];
  v_one pgstate.entry;
  v_claims pgstate.claim[];
  v_out pgstate.claimed[] := '{}';
  v_missing pgstate.claimed;
  v_rules pgstate._claim_rules;
  v_left int := p_limit;
  v_now timestamptz := pgstate._now();
  v_locked boolean;
  v_passed bigint;
  v_slot text;
  v_wanted text;
  v_place text[];
  v_priority int;
  v_at timestamptz;
  v_key text;
  v_since timestamptz;
  v_done text;
begin
  -- assigning is an expression, PERFORM is a query: 5 us
  v_done := pgstate._check_lease(p_lease);
  v_done := pgstate._check_pattern(p_pattern);
  v_regex := pgstate._pattern_regex(p_pattern);
  v_parent := substring(p_pattern from '^([^*?]+)/[^/]*[*?][^/]*$');
  if v_parent is not null then
    v_range := pgstate._range(v_parent || '/', v_parent || '0');
  end if;
  -- by directory only where all of it is the caller's: a look at hidden siblings would show in the caller's statistics
  if v_parent is null or p_pattern ~ E'/\\*\\*$' or not (p_actor.reads @> v_range and p_actor.writes @> v_range) then
    v_parent := null;
    v_ranges := pgstate._pattern_ranges(p_pattern) * p_actor.reads * p_actor.writes;
    if isempty(v_ranges) then
      perform pgstate._deny();
    end if;
  end if;
  if v_parent is not null then
    -- what is trusted less may be passed over, and is there for others: a place is also of the least trust
    v_wanted := p_pattern || coalesce(' ' || p_min::text, '');
    v_slot := 'pgstate.place' || (hashtext(v_wanted) & 7);
    v_place := nullif(current_setting(v_slot, true), '')::text[];
    if v_place[1] = v_wanted and v_place[3]::timestamptz between v_now - interval '1 s' and v_now then
      v_priority := v_place[2]::int;
      v_since := v_place[3]::timestamptz;
      v_at := v_place[4]::timestamptz;
      v_key := v_place[5];
    end if;
  end if;
  loop
    v_now := pgstate._now();
    v_found := '{}';
    if v_since is not null then
      v_found := array(
        select e from pgstate.entry e
         where e.parent = v_parent and e.live and e.priority > v_priority
           -- begun before, committed since
           and e.created_at > v_since - interval '5 s'
           and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
         order by e.priority desc, e.created_at, e.key limit v_left for update of e skip locked);
      if cardinality(v_found) = 0 then
        v_found := array(
          select e from pgstate.entry e
           where e.parent = v_parent and e.live and e.priority = v_priority and (e.created_at, e.key) > (v_at, v_key)
             and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
             and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
             and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
           order by e.created_at, e.key limit v_left for update of e skip locked);
        if cardinality(v_found) > 0 then
          v_at := v_found[cardinality(v_found)].created_at;
          v_key := v_found[cardinality(v_found)].key;
        else
          v_since := null;
          v_done := set_config(v_slot, '', false);
          continue;
        end if;
      end if;
    elsif v_parent is not null then
      v_passed := pg_stat_get_xact_tuples_returned('pgstate.entry_task_idx'::regclass);
      v_found := array(
        select e from pgstate.entry e
         where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)
         order by e.priority desc, e.created_at, e.key limit v_left for update of e skip locked);
      if pg_stat_get_xact_tuples_returned('pgstate.entry_task_idx'::regclass) - v_passed > 200 + 2 * v_left and cardinality(v_found) > 0 then
        v_since := v_now;
        v_priority := v_found[cardinality(v_found)].priority;
        v_at := v_found[cardinality(v_found)].created_at;
        v_key := v_found[cardinality(v_found)].key;
      end if;
    else
      v_found := array(
        select e
          from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                  from unnest(v_ranges) r offset 0) span
          cross join lateral (
            select x.key, x.priority, x.created_at from pgstate.entry x
             where x.key >= span.low and x.key <= span.high and span.range @> x.key
               and x.live and x.kind = 'value' and (x.not_before is null or x.not_before <= v_now)
               and (x.expires_at is null or x.expires_at > v_now) and (v_regex is null or x.key ~ v_regex)
               and (p_min is null or x.trust >= p_min)
               and not exists (select from pgstate.claim c where c.key = x.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0)) m
          -- looked at again on the row as locked: it may have gone since the snapshot
          join pgstate.entry e on e.key = m.key and e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and (p_min is null or e.trust >= p_min)
         order by m.priority desc, m.created_at, m.key limit v_left for update of e skip locked);
    end if;
    exit when cardinality(v_found) = 0;
    if cardinality(v_found) = 1 then
      -- without queries: they are a fifth of a claim
      v_one := v_found[1];
      v_claims := pgstate._take(p_actor, array[v_one.key], p_lease);
      if v_claims is not null then
        v_out := v_out || row('ok', v_one.key,
          case when v_one.full_version < v_one.version then pgstate._grown(v_one.key, v_one.value, v_one.full_version, v_one.version) else v_one.value end,
          v_one.version, v_claims[1].token, v_claims[1].lease_until, v_claims[1].attempts, null)::pgstate.claimed;
      end if;
    else
      v_claims := pgstate._take(p_actor, array(select f.key from unnest(v_found) with ordinality f order by f.ordinality), p_lease);
      if cardinality(v_claims) = cardinality(v_found) then
        v_out := v_out || array(
          select row('ok', f.key, case when f.full_version < f.version then pgstate._grown(f.key, f.value, f.full_version, f.version) else f.value end,
                     f.version, f.token, f.lease_until, f.attempts, null)::pgstate.claimed
            from rows from (unnest(v_found), unnest(v_claims)) with ordinality
                 as f (key, parent, kind, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before,
                       full_version, tail_count, tail_bytes, full_bytes, full_type, trust, claimed, token, holder, holder_id, lease_until,
                       attempts, claimed_at, retry_at, error, released, ord)
           order by f.ord);
      else
        v_out := v_out || array(
          select row('ok', f.key, case when f.full_version < f.version then pgstate._grown(f.key, f.value, f.full_version, f.version) else f.value end,
                     f.version, c.token, c.lease_until, c.attempts, null)::pgstate.claimed
            from unnest(v_found) with ordinality f join unnest(v_claims) c on c.key = f.key
           order by f.ordinality);
      end if;
    end if;
    if p_actor.policies then
      for v_index in 1 .. coalesce(cardinality(v_claims), 0) loop
        continue when v_claims[v_index].attempts - v_claims[v_index].released < 2;
        v_rules := pgstate._claim_rules_of(v_claims[v_index].key);
        if v_claims[v_index].attempts - v_claims[v_index].released > v_rules.max_attempts then
          v_key := v_claims[v_index].key;
          v_done := pgstate._give_up(p_agent, v_key, v_claims[v_index].token,
            coalesce(v_claims[v_index].error || '; then ', '') || 'the lease of its last attempt ended', v_rules);
          v_out := array(select o from unnest(v_out) o where o.key <> v_key);
          v_since := null;
        end if;
      end loop;
    end if;
    v_left := p_limit - cardinality(v_out);
    exit when v_left = 0;
  end loop;
  if v_since is not null then
    v_done := set_config(v_slot, array[v_wanted, v_priority::text, to_jsonb(v_since) #>> '{}', to_jsonb(v_at) #>> '{}', v_key]::text, false);
  end if;
  if v_left > 0 then
    -- what is only locked is to be looked for again soon: no version will tell that a rolled-back write, or a claimer that
    -- died, has let go of it
    if v_parent is not null then
      v_locked := exists (
        select from pgstate.entry e
         where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and e.key ~ v_regex and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0));
    else
      v_locked := exists (
        select from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                       from unnest(v_ranges) r offset 0) span
          join pgstate.entry e on e.key >= span.low and e.key <= span.high and span.range @> e.key
         where e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
           and (p_min is null or e.trust >= p_min)
           and not exists (select from pgstate.claim c where c.key = e.key and (c.lease_until > v_now or c.retry_at > v_now) offset 0));
    end if;
    v_ranges := coalesce(v_ranges, multirange(v_range));
    -- otherwise the next moment at which something becomes claimable without a write
    select least(
      case when v_locked then v_now + interval '50 ms' end,
      (select min(greatest(c.lease_until, c.retry_at))
         from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                 from unnest(v_ranges) r offset 0) span
         join pgstate.claim c on c.key >= span.low and c.key <= span.high and span.range @> c.key
        where (c.lease_until > v_now or c.retry_at > v_now) and c.retry_at is distinct from 'infinity' and (v_regex is null or c.key ~ v_regex)
          and (p_min is null or exists (select from pgstate.entry e where e.key = c.key and e.trust >= p_min))),
      -- by the caller's ranges alone: a look at other rows would show in its statistics
      case when v_parent is not null then (
        select min(e.not_before) from pgstate.entry e
         where e.parent = v_parent and e.not_before > v_now and e.live and (v_regex is null or e.key ~ v_regex) and (p_min is null or e.trust >= p_min))
      else (
        select min(e.not_before)
          from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                  from unnest(v_ranges) r offset 0) span
          cross join lateral (
            select x.key, x.not_before, x.live, x.trust from pgstate.entry x
             where x.key >= span.low and x.key <= span.high and span.range @> x.key and (v_regex is null or x.key ~ v_regex) offset 0) e
         where e.live and e.not_before > v_now and (p_min is null or e.trust >= p_min)) end) - v_now
      into v_missing.retry_in;
    v_missing.status := 'missing';
    v_out := v_out || v_missing;
  end if;
  return v_out;
end
$$;
comment on function pgstate._next_claims(pgstate._actor, text, text, int, interval, pgstate.trust) is 'Internal: claims the entries that are next.';
