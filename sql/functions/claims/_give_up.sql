-- Work that is not tried again, whose claim the caller holds: moved to where its policy says, if the caller may write there
-- and has room for it in its quota, else it stays, unclaimable: it must not keep the caller from other work. Either way its claim's row says why; the move makes versions as any write does. Returns where
-- it was moved.
create function pgstate._give_up(
  p_agent text, p_key text, p_token bigint, p_error text, p_rules pgstate._claim_rules
) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_to text;
  v_claim pgstate.claim;
  v_priority int;
  v_trust text;
  v_moved boolean;
begin
  update pgstate.claim c set error = left(p_error, 2000) where c.key = p_key returning c.* into v_claim;
  -- below the dead letters there are no deader ones
  if p_rules.dead_letter is not null and not p_key ^@ (p_rules.dead_letter || '/') then
    v_to := p_rules.dead_letter || '/' || case
      when p_rules.dead_letter_of = '**' then p_key
      when p_key ^@ left(p_rules.dead_letter_of, -2) and p_rules.dead_letter_of like '%/**' then substr(p_key, length(p_rules.dead_letter_of) - 1)
      else substring(p_key from '[^/]*$') end;
  end if;
  if v_to is not null and pgstate._key_ok(v_to) then
    select e.priority, e.trust::text into v_priority, v_trust from pgstate.entry e where e.key = p_key;
    begin
      v_moved := 'ok' = all (array(
        select o.status
          from pgstate.write_many(array['delete', 'put'], array[p_key, v_to], array[null, pgstate._current_value(p_key)],
                                  tokens => array[p_token, null], priorities => array[null, v_priority], "atomic" => true, agent => p_agent,
                                  trusts => array[null, v_trust]) o));
    exception when sqlstate 'PS060' then
      v_moved := false;
    end;
    if v_moved then
      insert into pgstate.claim as c (key, token, lease_until, attempts, claimed_at, retry_at, error, released)
      values (v_to, nextval('pgstate.claim_token_seq'), '-infinity', v_claim.attempts, v_claim.claimed_at, 'infinity', v_claim.error, v_claim.released)
          on conflict on constraint claim_pkey do update
         set token = excluded.token, holder = null, holder_id = null, lease_until = excluded.lease_until, attempts = excluded.attempts,
             claimed_at = excluded.claimed_at, retry_at = excluded.retry_at, error = excluded.error, released = excluded.released;
      return v_to;
    end if;
  end if;
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null, retry_at = 'infinity' where c.key = p_key;
  return null;
end
$$;
comment on function pgstate._give_up(text, text, bigint, text, pgstate._claim_rules) is 'Internal: ends work that failed for the last time.';
