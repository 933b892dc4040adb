create function pgstate.claim_next(
  pattern text, lease interval, lane uuid default null, turn bigint default null, agent text default null, op_id text default null,
  min_trust text default null
) returns pgstate.claimed
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim_next.agent, claim_next.lane, claim_next.turn);
  v_claims pgstate.claimed[];
  v_outcome jsonb := v_actor.kept;
  v_done boolean;
begin
  if v_outcome is null and claim_next.op_id is not null then
    v_outcome := pgstate._op_first(v_actor, claim_next.op_id, (jsonb_build_array('claim_next', claim_next.pattern, pgstate._span_told(claim_next.lease)) || coalesce(to_jsonb(claim_next.min_trust), '[]'))::text);
  end if;
  if v_outcome is not null then
    return (pgstate._claims_again(v_outcome))[1];
  end if;
  v_claims := pgstate._next_claims(v_actor, claim_next.agent, claim_next.pattern, 1, claim_next.lease, pgstate._trust_named(claim_next.min_trust));
  if claim_next.op_id is not null then
    perform pgstate._op_end(v_actor, claim_next.op_id, pgstate._keep_claims(v_claims));
  end if;
  if claim_next.lane is not null then
    v_done := pgstate._lane_end(claim_next.lane, claim_next.turn, pgstate._keep_claims(v_claims));
  end if;
  return v_claims[1];
end
$$;
comment on function pgstate.claim_next(text, interval, uuid, bigint, text, text, text) is
  'Claims the entry that waits with the highest priority, then longest, among those that match: status ok with key, value and the fencing token, or missing (retry_in: when a lease, a not_before or the pause after a failure next ends, null when nothing waits). Entries that are not due, that are trusted less than min_trust, or that somebody holds, are passed over; an ended lease is taken over, unless the policies give the entry up for it. Needs read and write. PS002 PS007 PS010 PS030 PS031.';
