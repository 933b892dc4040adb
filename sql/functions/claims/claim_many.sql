create function pgstate.claim_many(
  pattern text, "limit" int, lease interval, lane uuid default null, turn bigint default null, agent text default null,
  op_id text default null,
  min_trust text default null
) returns setof pgstate.claimed
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(claim_many.agent, claim_many.lane, claim_many.turn);
  v_claims pgstate.claimed[];
  v_outcome jsonb := v_actor.kept;
  v_done boolean;
begin
  if claim_many."limit" is null or claim_many."limit" not between 1 and 1000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 1000';
  end if;
  if v_outcome is null and claim_many.op_id is not null then
    v_outcome := pgstate._op_first(v_actor, claim_many.op_id,
      (jsonb_build_array('claim_many', claim_many.pattern, claim_many."limit", pgstate._span_told(claim_many.lease)) || coalesce(to_jsonb(claim_many.min_trust), '[]'))::text);
  end if;
  if v_outcome is not null then
    v_claims := pgstate._claims_again(v_outcome);
  else
    v_claims := pgstate._next_claims(v_actor, claim_many.agent, claim_many.pattern, claim_many."limit", claim_many.lease, pgstate._trust_named(claim_many.min_trust));
    if claim_many.op_id is not null then
      perform pgstate._op_end(v_actor, claim_many.op_id, pgstate._keep_claims(v_claims));
    end if;
    if claim_many.lane is not null then
      v_done := pgstate._lane_end(claim_many.lane, claim_many.turn, pgstate._keep_claims(v_claims));
    end if;
  end if;
  return query select c.* from unnest(v_claims) c;
end
$$;
comment on function pgstate.claim_many(text, int, interval, uuid, bigint, text, text, text) is
  'claim_next() for up to limit entries (1 to 1000) in one statement, best first: a row for each that was claimed, and when there were fewer, one more with status missing and its retry_in. PS002 PS007 PS010 PS030 PS031.';
