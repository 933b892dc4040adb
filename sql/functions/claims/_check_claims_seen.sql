-- Under REPEATABLE READ the snapshot may be older than a claim, and claiming changes no entry that would tell. Called with
-- the entries locked: 40001 if a claim of one of them changed since the snapshot. A key without a claim that is to be seen
-- gets a released one: inserting it fails on one that is not.
create function pgstate._check_claims_seen(p_keys text[]) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  perform from pgstate.claim c where c.key = any (p_keys) order by c.key for update;
  insert into pgstate.claim (key, token, lease_until, attempts, claimed_at)
  select k, nextval('pgstate.claim_token_seq'), '-infinity', 0, pgstate._now()
    from unnest(p_keys) k where not exists (select from pgstate.claim c where c.key = k) group by k order by k
      on conflict do nothing;
end
$$;
comment on function pgstate._check_claims_seen(text[]) is 'Internal: 40001 if the transaction''s snapshot does not show the claims as they are.';
