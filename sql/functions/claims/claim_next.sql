-- The best waiting entry: highest priority, then oldest. The entry is locked with SKIP LOCKED, then claimed in a statement
-- of its own: one that another has just claimed looks free in the snapshot that found it, and the claim tells.
create function pgstate.claim_next(pattern text, lease interval, lane uuid default null, turn bigint default null, agent text default null)
returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim_next.agent);
  v_ranges pgstate.keymultirange;
  v_regex text;
  v_parent text;
  v_entry record;
  v_claim pgstate.claim;
  v_out pgstate.claimed;
  v_outcome jsonb;
  v_now timestamptz;
  v_locked boolean;
begin
  perform pgstate._check_lease(claim_next.lease);
  perform pgstate._check_pattern(claim_next.pattern);
  v_ranges := pgstate._pattern_ranges(claim_next.pattern) * v_actor.reads * v_actor.writes;
  if isempty(v_ranges) then
    perform pgstate._deny();
  end if;
  if claim_next.lane is not null then
    v_outcome := pgstate._lane_begin(v_actor, claim_next.lane, claim_next.turn);
    if v_outcome is not null then
      return pgstate._claim_again(v_outcome);
    end if;
  end if;
  v_regex := pgstate._pattern_regex(claim_next.pattern);
  v_parent := substring(claim_next.pattern from '^([^*?]+)/[^/]*[*?][^/]*$');
  -- by directory only where all of it is the caller's: a look at hidden siblings would show in the caller's statistics
  if claim_next.pattern ~ '/\*\*$'
     or not v_actor.reads * v_actor.writes @> pgstate.keyrange(v_parent || '/', v_parent || '0', '[)') then
    v_parent := null;
  end if;
  v_out.status := 'missing';
  loop
    v_now := pgstate._now();
    if v_parent is not null then
      select e.key, e.version, e.full_version, e.value into v_entry
        from pgstate.entry e
       where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
         and (e.expires_at is null or e.expires_at > v_now) and v_ranges @> e.key and e.key ~ v_regex
         and not exists (select from pgstate.claim c where c.key = e.key and c.lease_until > v_now)
       order by e.priority desc, e.created_at, e.key limit 1 for update of e skip locked;
    else
      select e.key, e.version, e.full_version, e.value into v_entry
        from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                from unnest(v_ranges) r offset 0) span
        cross join lateral (
          select x.key, x.priority, x.created_at from pgstate.entry x
           where x.key >= span.low and x.key <= span.high and span.range @> x.key
             and x.live and x.kind = 'value' and (x.not_before is null or x.not_before <= v_now)
             and (x.expires_at is null or x.expires_at > v_now) and (v_regex is null or x.key ~ v_regex)
             and not exists (select from pgstate.claim c where c.key = x.key and c.lease_until > v_now)) m
        -- looked at again on the row as locked: it may have gone since the snapshot
        join pgstate.entry e on e.key = m.key and e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
         and (e.expires_at is null or e.expires_at > v_now)
       order by m.priority desc, m.created_at, m.key limit 1 for update of e skip locked;
    end if;
    exit when not found;
    v_claim := pgstate._take(v_actor, v_entry.key, claim_next.lease);
    if v_claim.key is not null then
      v_out := row('ok', v_entry.key,
        case when v_entry.full_version < v_entry.version then pgstate._grown(v_entry.key, v_entry.value, v_entry.full_version, v_entry.version) else v_entry.value end,
        v_entry.version, v_claim.token, v_claim.lease_until, v_claim.attempts, null)::pgstate.claimed;
      exit;
    end if;
  end loop;
  if v_out.status = 'missing' then
    -- what is only locked is to be looked for again soon: no version will tell that a rolled-back write, or a claimer that
    -- died, has let go of it
    if v_parent is not null then
      v_locked := exists (
        select from pgstate.entry e
         where e.parent = v_parent and e.live and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and v_ranges @> e.key and e.key ~ v_regex
           and not exists (select from pgstate.claim c where c.key = e.key and c.lease_until > v_now));
    else
      v_locked := exists (
        select from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                       from unnest(v_ranges) r offset 0) span
          join pgstate.entry e on e.key >= span.low and e.key <= span.high and span.range @> e.key
         where e.value is not null and e.kind = 'value' and (e.not_before is null or e.not_before <= v_now)
           and (e.expires_at is null or e.expires_at > v_now) and (v_regex is null or e.key ~ v_regex)
           and not exists (select from pgstate.claim c where c.key = e.key and c.lease_until > v_now));
    end if;
    -- otherwise the next moment at which something becomes claimable without a write
    select least(
      case when v_locked then v_now + interval '50 ms' end,
      (select min(c.lease_until)
         from (select coalesce(lower(r), '') as low, coalesce(upper(r), chr(127)) as high, r as range
                 from unnest(v_ranges) r offset 0) span
         join pgstate.claim c on c.key >= span.low and c.key <= span.high and span.range @> c.key
        where c.lease_until > v_now and (v_regex is null or c.key ~ v_regex)),
      (select min(e.not_before) from pgstate.entry e
        where e.not_before is not null and e.live and e.not_before > v_now and (v_parent is null or e.parent = v_parent)
          and v_ranges @> e.key and (v_regex is null or e.key ~ v_regex))) - v_now
      into v_out.retry_in;
  end if;
  if claim_next.lane is not null then
    perform pgstate._lane_end(claim_next.lane, claim_next.turn, pgstate._claim_outcome(v_out));
  end if;
  return v_out;
end
$$;
comment on function pgstate.claim_next(text, interval, uuid, bigint, text) is
  'Claims the entry that waits with the highest priority, then longest, among those that match: status ok with key, value and the fencing token, or missing (retry_in: when a lease or not_before next ends, null when nothing waits). Entries whose not_before lies ahead, or that somebody holds, are passed over; an ended lease is taken over. Needs read and write. PS002 PS007 PS010.';
