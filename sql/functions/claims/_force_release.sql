-- As the owner, since who administers a subtree need not be able to write there. The log says whose claim it was.
create function pgstate._force_release(p_actor pgstate._actor, p_key text) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claim pgstate.claim;
  v_out pgstate.claimed;
begin
  perform pgstate._check_admin(p_actor, p_key);
  perform from pgstate.entry e where e.key = p_key and e.value is not null for update;
  if found and current_setting('transaction_isolation') <> 'read committed' then
    -- as _check_claims_seen() does, for who may write there
    perform from pgstate.claim c where c.key = p_key for update;
    insert into pgstate.claim (key, token, lease_until, attempts, claimed_at)
    select p_key, nextval('pgstate.claim_token_seq'), '-infinity', 0, pgstate._now()
     where not exists (select from pgstate.claim c where c.key = p_key)
        on conflict do nothing;
  end if;
  select c.* into v_claim from pgstate.claim c
   where c.key = p_key and (c.lease_until > pgstate._now() or c.retry_at > pgstate._now()) for update;
  v_out.key := p_key;
  if v_claim.key is null then
    v_out.status := 'missing';
    return v_out;
  end if;
  -- it begins anew: what was given up would be given up again by its next failure
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, retry_at = null, attempts = 0, released = 0
   where c.key = p_key;
  insert into pgstate.claim_log (key, at, token, holder, lease_until, attempts, released_by, via)
  values (p_key, pgstate._now(), v_claim.token, v_claim.holder, nullif(v_claim.lease_until, '-infinity'), v_claim.attempts, p_actor.name, session_user);
  perform pgstate._audit(p_actor, 'release', p_key, jsonb_build_object('holder', v_claim.holder));
  perform pgstate._wake(array[p_key]);
  v_out.status := 'ok';
  v_out.attempts := v_claim.attempts;
  return v_out;
end
$$;
comment on function pgstate._force_release(pgstate._actor, text) is 'Internal: ends a claim whoever holds it.';
