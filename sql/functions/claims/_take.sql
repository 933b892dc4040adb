-- Takes the claim of an entry that the caller has locked. Null when somebody holds it.
create function pgstate._take(p_actor pgstate._actor, p_key text, p_lease interval) returns pgstate.claim
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claim pgstate.claim;
  v_now timestamptz := pgstate._now();
begin
  insert into pgstate.claim as c (key, token, holder, holder_id, lease_until, attempts, claimed_at)
  values (p_key, nextval('pgstate.claim_token_seq'), p_actor.name, p_actor.id, v_now + p_lease, 1, v_now)
      on conflict on constraint claim_pkey do update
     set token = excluded.token, holder = excluded.holder, holder_id = excluded.holder_id, lease_until = excluded.lease_until,
         attempts = c.attempts + 1, claimed_at = excluded.claimed_at
   where c.lease_until <= v_now
  returning c.* into v_claim;
  return v_claim;
end
$$;
comment on function pgstate._take(pgstate._actor, text, interval) is 'Internal: claims a locked entry.';
