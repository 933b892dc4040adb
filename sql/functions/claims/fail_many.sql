-- A failure makes no version, unless the work is moved to the dead letters. Entries are locked in key order before any claim
-- is changed.
create function pgstate.fail_many(
  keys text[], tokens bigint[], errors text[] default null, retry_ins interval[] default null, op_ids text[] default null,
  lane uuid default null, turn bigint default null, agent text default null
) returns setof pgstate.claim_outcome
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(fail_many.agent, fail_many.lane, fail_many.turn);
  v_count int := coalesce(cardinality(fail_many.keys), 0);
  v_out pgstate.claim_outcome[];
  v_again pgstate.claim_outcome;
  v_row record;
  v_claim pgstate.claim;
  v_rules pgstate._claim_rules;
  v_failures int;
  v_outcome jsonb := v_actor.kept;
  v_requests text[];
  v_states text[];
  v_woken text[] := '{}';
  v_done boolean;
begin
  if v_count <> any (array[
       coalesce(cardinality(fail_many.tokens), 0), coalesce(cardinality(fail_many.errors), v_count),
       coalesce(cardinality(fail_many.retry_ins), v_count), coalesce(cardinality(fail_many.op_ids), v_count)]) then
    raise exception using errcode = 'PS007', message = 'the arrays must be of equal length, or null';
  elsif array_ndims(fail_many.keys) <> 1 or array_lower(fail_many.keys, 1) <> 1 or array_ndims(fail_many.op_ids) <> 1 or array_lower(fail_many.op_ids, 1) <> 1 then
    -- rows are counted from 1 below
    raise exception using errcode = 'PS007', message = 'the arrays must have one dimension and begin at 1';
  end if;
  if v_outcome is null then
    v_out := array_fill(null::pgstate.claim_outcome, array[v_count]);
    if fail_many.op_ids is not null then
      -- before any key is locked
      v_requests := array(
        select jsonb_build_array('fail', u.key, u.token, u.error, pgstate._span_told(u.retry_in))::text
          from unnest(fail_many.keys, fail_many.tokens, fail_many.errors, fail_many.retry_ins) with ordinality
               as u (key, token, error, retry_in, ord)
         order by u.ord);
      v_states := pgstate._op_begin(v_actor, fail_many.op_ids, v_requests);
      if 'known' = any (v_states) then
        v_states := pgstate._op_known(v_actor, fail_many.op_ids, v_requests, v_states);
      end if;
    end if;
    perform from pgstate.entry e
      where e.key = any (array(select k from unnest(fail_many.keys) k where pgstate._claimant_fault(v_actor, k) is null))
      order by e.key for update;
    for v_row in
      select u.*, pgstate._claimant_fault(v_actor, u.key) as code
        from unnest(fail_many.keys, fail_many.tokens, fail_many.errors, fail_many.retry_ins, fail_many.op_ids) with ordinality
             as u (key, token, error, retry_in, op_id, ord)
       order by u.key collate "C", u.ord
    loop
      continue when v_states[v_row.ord] = 'replay';
      v_again := null;
      v_again.ord := v_row.ord;
      v_again.key := v_row.key;
      if v_states[v_row.ord] <> 'new' then
        v_row.code := case v_states[v_row.ord] when 'reused' then 'PS030' else 'PS007' end;
      elsif v_row.code is null and v_row.retry_in is not null and not pgstate._span_or_0(v_row.retry_in) then
        v_row.code := 'PS007';
      end if;
      v_row.error := pgstate._guarded(v_actor, v_row.key, v_row.error);
      if v_row.code is not null then
        v_again.status := case v_row.code when 'PS010' then 'denied' else 'invalid' end;
        v_again.code := v_row.code;
        v_again.message := case when v_row.code = 'PS007' and octet_length(v_row.op_id) not between 1 and 256 then pgstate._error_text('PS007', null)
                                when v_row.code = 'PS007' then 'retry_in is at most 100 years, or 0 for at once' else pgstate._error_text(v_row.code, v_row.key) end;
      else
        select c.* into v_claim from pgstate.claim c
         where c.key = v_row.key and c.token = v_row.token and c.holder_id = v_actor.id and c.lease_until > pgstate._now()
           and exists (select from pgstate.entry e
                        where e.key = c.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now()))
           for update;
        if v_claim.key is null then
          perform pgstate._check_lost(v_row.key);
          v_again.status := 'stale';
        else
          v_rules := case when v_actor.policies then pgstate._claim_rules_of(v_row.key) end;
          v_failures := v_claim.attempts - v_claim.released;
          v_again.status := 'ok';
          v_again.attempts := v_claim.attempts;
          if v_failures >= v_rules.max_attempts then
            v_again.moved_to := pgstate._give_up(fail_many.agent, v_row.key, v_row.token, v_row.error, v_rules);
          else
            v_again.retry_in := coalesce(v_row.retry_in,
              -- in seconds: an interval that is doubled too often is out of range
              least(extract(epoch from coalesce(v_rules.backoff, interval '1 s')) * power(2, least(v_failures - 1, 30))::numeric,
                    extract(epoch from coalesce(v_rules.backoff_limit, interval '5 minutes')))::float8 * interval '1 s');
            update pgstate.claim c
               set lease_until = '-infinity', holder = null, holder_id = null, error = left(v_row.error, 2000),
                   retry_at = pgstate._now() + v_again.retry_in
             where c.key = v_row.key;
          end if;
          v_woken := v_woken || v_row.key;
        end if;
      end if;
      v_out[v_row.ord] := v_again;
      if v_row.op_id is not null and v_states[v_row.ord] = 'new' then
        perform pgstate._op_end(v_actor, v_row.op_id, case when v_row.code is null then to_jsonb(v_again) end);
      end if;
    end loop;
    for v_index in 1 .. coalesce(cardinality(v_states), 0) loop
      if v_states[v_index] = 'replay' then
        -- null when it stands twice in this statement, and was refused
        v_again := coalesce(jsonb_populate_record(null::pgstate.claim_outcome, pgstate._op_outcome(v_actor, fail_many.op_ids[v_index])),
                            v_out[array_position(fail_many.op_ids, fail_many.op_ids[v_index])]);
        v_again.ord := v_index;
        v_out[v_index] := v_again;
      end if;
    end loop;
    if v_woken <> '{}' then
      -- no version tells of it, and those who wait want to know when to look again
      perform pgstate._wake(v_woken);
    end if;
    if fail_many.lane is not null then
      v_done := pgstate._lane_end(fail_many.lane, fail_many.turn, coalesce(to_jsonb(v_out), '[]'));
    end if;
    return query select o.* from unnest(v_out) o;
  else
    return query select o.* from jsonb_populate_recordset(null::pgstate.claim_outcome, v_outcome) o;
  end if;
end
$$;
comment on function pgstate.fail_many(text[], bigint[], text[], interval[], text[], uuid, bigint, text) is
  'fail() for many claims in one statement: one outcome per row, in the order of the input; a refused row harms no other. PS007 PS010 PS030 PS031.';
