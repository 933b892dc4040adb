create function pgstate.release(key text, token bigint, agent text default null) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(release.agent);
  v_out pgstate.claimed;
begin
  perform pgstate._check_claimant(v_actor, release.key);
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null
   where c.key = release.key and c.token = release.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now();
  -- given back before with this token: the reply may have been lost
  v_out.status := case when found or exists (
    select from pgstate.claim c where c.key = release.key and c.token = release.token and c.lease_until = '-infinity')
    then 'ok' else 'stale' end;
  v_out.key := release.key;
  if found then
    -- no version tells of it, and somebody may be waiting for this entry
    perform pgstate._wake(array[release.key]);
  end if;
  return v_out;
end
$$;
comment on function pgstate.release(text, bigint, text) is 'Gives a claim back, so that others may claim the entry at once: status ok, or stale. PS001 PS010.';
