-- A run with all its finished steps and those that wait, in one row: who goes on with it asks once.
create function pgstate._run_full(p_key text, p_status text, p_claim pgstate.claim, p_created boolean) returns pgstate.run_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_out pgstate.run_full;
begin
  select p_status, p_key, case when p_status = 'ok' then p_claim.token end, p_claim.lease_until,
         case when p_status = 'held' and isfinite(greatest(p_claim.lease_until, p_claim.retry_at)) then greatest(p_claim.lease_until, p_claim.retry_at) - pgstate._now() end,
         p_claim.attempts, p_created, r.state, r.name, r.code, r.seed, pgstate._now(), r.begun_at, r.deadline, r.cancel_at is not null,
         r.input_type, r.input, r.result_type, r.result, s.*
    into v_out
    from pgstate.run r
    left join lateral (
      select array_agg(x.id order by x.finished_at, x.position), array_agg(x.position order by x.finished_at, x.position),
             array_agg(x.main order by x.finished_at, x.position), array_agg(x.kind order by x.finished_at, x.position),
             array_agg(x.state order by x.finished_at, x.position),
             array_agg(x.type order by x.finished_at, x.position), array_agg(x.data order by x.finished_at, x.position),
             array_agg(x.due_at order by x.finished_at, x.position)
        from pgstate.step x where x.run_id = r.id and p_status in ('ok', 'ended')) s on true
   where r.key = p_key;
  return v_out;
end
$$;
comment on function pgstate._run_full(text, text, pgstate.claim, boolean) is 'Internal: a run with its steps.';
