create function pgstate.renew_many(keys text[], tokens bigint[], leases interval[], agent text default null) returns setof pgstate.claim_outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(renew_many.agent);
  v_row record;
  v_claimed pgstate.claimed;
  v_out pgstate.claim_outcome[] := array_fill(null::pgstate.claim_outcome, array[coalesce(cardinality(renew_many.keys), 0)]);
begin
  if coalesce(cardinality(renew_many.keys), 0) <> all (array[coalesce(cardinality(renew_many.tokens), 0), coalesce(cardinality(renew_many.leases), 0)]) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length';
  end if;
  for v_row in
    select u.ord::int, u.key, u.token, u.lease, pgstate._claimant_fault(v_actor, u.key) as code
      from unnest(renew_many.keys, renew_many.tokens, renew_many.leases) with ordinality u (key, token, lease, ord)
     order by u.key collate "C", u.ord
  loop
    if v_row.code is null then
      v_claimed := pgstate.renew(v_row.key, v_row.token, v_row.lease, renew_many.agent);
    end if;
    v_out[v_row.ord] := row(v_row.ord, case v_row.code when 'PS010' then 'denied' when 'PS001' then 'invalid' else v_claimed.status end, v_row.key,
                            case when v_row.code is null then v_claimed.lease_until end, case when v_row.code is null then v_claimed.attempts end,
                            null, null, v_row.code, pgstate._error_text(v_row.code, v_row.key))::pgstate.claim_outcome;
  end loop;
  return query select o.* from unnest(v_out) o;
end
$$;
comment on function pgstate.renew_many(text[], bigint[], interval[], text) is 'renew() for many claims in one statement: one outcome per row, in the order of the input. PS007 PS010.';
