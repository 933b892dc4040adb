create function pgstate.claim(
  key text, lease interval, lane uuid default null, turn bigint default null, agent text default null, op_id text default null
) returns pgstate.claimed
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim.agent, claim.lane, claim.turn);
  v_entry record;
  v_claim pgstate.claim;
  v_out pgstate.claimed;
  v_outcome jsonb := v_actor.kept;
  v_done boolean;
begin
  perform pgstate._check_lease(claim.lease);
  perform pgstate._check_claimant(v_actor, claim.key);
  if v_outcome is null and claim.op_id is not null then
    v_outcome := pgstate._op_first(v_actor, claim.op_id, jsonb_build_array('claim', claim.key, pgstate._span_told(claim.lease))::text);
  end if;
  if v_outcome is not null then
    return (pgstate._claims_again(v_outcome))[1];
  end if;
  select e.version, e.full_version, e.value into v_entry
    from pgstate.entry e
   where e.key = claim.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()) for update;
  v_out.key := claim.key;
  if not found then
    v_out.status := 'missing';
  else
    v_claim := (pgstate._take(v_actor, array[claim.key], claim.lease))[1];
    if v_claim.key is not null then
      v_out := row('ok', claim.key,
        case when v_entry.full_version < v_entry.version then pgstate._grown(claim.key, v_entry.value, v_entry.full_version, v_entry.version) else v_entry.value end,
        v_entry.version, v_claim.token, v_claim.lease_until, v_claim.attempts, null)::pgstate.claimed;
    else
      v_out.status := 'held';
      v_out.version := v_entry.version;
      select case when isfinite(greatest(c.lease_until, c.retry_at)) then greatest(c.lease_until, c.retry_at) - pgstate._now() end
        into v_out.retry_in from pgstate.claim c where c.key = claim.key;
    end if;
  end if;
  if claim.op_id is not null then
    perform pgstate._op_end(v_actor, claim.op_id, pgstate._keep_claims(array[v_out]));
  end if;
  if claim.lane is not null then
    v_done := pgstate._lane_end(claim.lane, claim.turn, pgstate._keep_claims(array[v_out]));
  end if;
  return v_out;
end
$$;
comment on function pgstate.claim(text, interval, uuid, bigint, text, text) is
  'Claims one entry until the lease ends: status ok with the fencing token, held (retry_in: until the lease ends, or it may be tried again after a failure; null when it was given up) or missing. Makes no version. A claim must be given back or renewed with its token; the agent that holds it gets held too. Needs read and write. PS001 PS007 PS010 PS030 PS031.';
