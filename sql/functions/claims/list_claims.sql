-- As list(): checked first, then read by the ranges that both the pattern and the grants cover. Without the tokens, which
-- are their holders'. There is no index on the ends of leases (claiming must stay HOT), so this costs what was ever claimed
-- there and still exists.
create function pgstate.list_claims(pattern text default '', agent text default null) returns setof pgstate.claim_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(list_claims.agent);
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange;
  v_regex text;
begin
  v_ranges := pgstate._page_ranges(v_actor, list_claims.pattern, null, null);
  v_regex := pgstate._pattern_regex(list_claims.pattern);
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(v_ranges) r
    )
    select c.key, c.holder, c.lease_until, c.lease_until - v_now, c.attempts, c.claimed_at
      from span
      cross join lateral (
        select x.key, x.holder, x.lease_until, x.attempts, x.claimed_at from pgstate.claim x
         where x.key >= span.low and x.key < span.high and x.lease_until > v_now and (v_regex is null or x.key ~ v_regex)
        offset 0
      ) c
     -- an expired entry is invisible at once, its claim goes with the expiry
     where exists (select from pgstate.entry e where e.key = c.key and e.live and (e.expires_at is null or e.expires_at > v_now))
     order by c.key;
end
$$;
comment on function pgstate.list_claims(text, text) is
  'Who holds what now, of the keys that match a pattern and that the caller may read, in key order: holder, end of the lease and what is left of it, how often the entry was claimed. An empty pattern means everything readable. PS002 for an invalid pattern, PS010 when the pattern reaches nothing that the caller may read.';
