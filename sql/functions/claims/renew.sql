create function pgstate.renew(key text, token bigint, lease interval, agent text default null) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(renew.agent);
  v_out pgstate.claimed;
begin
  perform pgstate._check_lease(renew.lease);
  perform pgstate._check_claimant(v_actor, renew.key);
  -- claims change under their entry's lock: a write that is waiting to see whether this lease has ended must see the new end
  perform from pgstate.entry e where e.key = renew.key for update;
  update pgstate.claim c set lease_until = pgstate._now() + renew.lease
   where c.key = renew.key and c.token = renew.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now()
     and exists (select from pgstate.entry e
                  where e.key = c.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()))
  returning c.token, c.lease_until, c.attempts into v_out.token, v_out.lease_until, v_out.attempts;
  v_out.status := case when found then 'ok' else 'stale' end;
  if v_out.status = 'stale' then
    perform pgstate._check_lost(renew.key);
  end if;
  v_out.key := renew.key;
  return v_out;
end
$$;
comment on function pgstate.renew(text, bigint, interval, text) is 'Lets a claim''s lease end lease from now: status ok, or stale when the token is not the current claim''s, or its lease has ended. PS001 PS007 PS010.';
