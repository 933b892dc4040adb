create function pgstate.release(
  key text, token bigint default null, agent text default null, force boolean default false, lane uuid default null, turn bigint default null
) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(release.agent, release.lane, release.turn);
  v_out pgstate.claimed;
  v_ended boolean;
  v_done boolean;
begin
  if release.force then
    if release.key is null or not pgstate._key_ok(release.key) then
      perform pgstate._bad_key(release.key);
    end if;
  else
    perform pgstate._check_claimant(v_actor, release.key);
  end if;
  if v_actor.kept is not null then
    return (pgstate._claims_again(v_actor.kept))[1];
  elsif release.force then
    v_out := pgstate._force_release(v_actor, release.key);
  else
    update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, released = c.released + 1
     where c.key = release.key and c.token = release.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now();
    v_ended := found;
    -- given back before with this token: the reply may have been lost
    v_out.status := case when v_ended or exists (
      select from pgstate.claim c where c.key = release.key and c.token = release.token and c.lease_until = '-infinity')
      then 'ok' else 'stale' end;
    if v_out.status = 'stale' then
      perform pgstate._check_lost(release.key);
    end if;
    v_out.key := release.key;
    if v_ended then
      -- no version tells of it, and somebody may be waiting for this entry
      perform pgstate._wake(array[release.key]);
    end if;
  end if;
  if release.lane is not null then
    v_done := pgstate._lane_end(release.lane, release.turn, pgstate._keep_claims(array[v_out]));
  end if;
  return v_out;
end
$$;
comment on function pgstate.release(text, bigint, text, boolean, uuid, bigint) is
  'Gives a claim back, so that others may claim the entry at once: status ok, or stale. Asking again with the same token changes nothing. force, which needs admin on the key and no token, ends anybody''s claim, and lets what failed be tried again from the beginning: status ok, or missing when there is neither; claim_log() keeps who did it. PS001 PS010 PS031.';
