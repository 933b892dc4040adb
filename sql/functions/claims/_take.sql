-- Takes the claims of entries that the caller has locked, in the order given; those that somebody holds are left out. In a
-- statement of its own: one that another has just claimed looks free in the snapshot that found it, and the claim tells.
create function pgstate._take(p_actor pgstate._actor, p_keys text[], p_lease interval) returns pgstate.claim[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claims pgstate.claim[];
  v_claim pgstate.claim;
  v_now timestamptz := pgstate._now();
begin
  if cardinality(p_keys) = 1 then
    insert into pgstate.claim as c (key, token, holder, holder_id, lease_until, attempts, claimed_at)
    values (p_keys[1], nextval('pgstate.claim_token_seq'), p_actor.name, p_actor.id, v_now + p_lease, 1, v_now)
        on conflict on constraint claim_pkey do update
       set token = excluded.token, holder = excluded.holder, holder_id = excluded.holder_id, lease_until = excluded.lease_until,
           attempts = c.attempts + 1, claimed_at = excluded.claimed_at, retry_at = null
     where c.lease_until <= v_now and (c.retry_at is null or c.retry_at <= v_now)
    returning c.* into v_claim;
    return case when v_claim.key is not null then array[v_claim] end;
  end if;
  with taken as (
    insert into pgstate.claim as c (key, token, holder, holder_id, lease_until, attempts, claimed_at)
    select k, nextval('pgstate.claim_token_seq'), p_actor.name, p_actor.id, v_now + p_lease, 1, v_now from unnest(p_keys) k
        on conflict on constraint claim_pkey do update
       set token = excluded.token, holder = excluded.holder, holder_id = excluded.holder_id, lease_until = excluded.lease_until,
           attempts = c.attempts + 1, claimed_at = excluded.claimed_at, retry_at = null
     where c.lease_until <= v_now and (c.retry_at is null or c.retry_at <= v_now)
    returning c.*
  )
  select array_agg(t::pgstate.claim) into v_claims from taken t;
  return v_claims;
end
$$;
comment on function pgstate._take(pgstate._actor, text[], interval) is 'Internal: claims locked entries.';
