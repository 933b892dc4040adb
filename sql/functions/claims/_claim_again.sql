create function pgstate._claim_again(p_outcome jsonb) returns pgstate.claimed
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_claimed pgstate.claimed := jsonb_populate_record(null::pgstate.claimed, p_outcome);
begin
  if v_claimed.status = 'ok' then
    select case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end
      into v_claimed.value from pgstate.entry e where e.key = v_claimed.key and e.version = v_claimed.version;
  end if;
  return v_claimed;
end
$$;
comment on function pgstate._claim_again(jsonb) is 'Internal: the first outcome of a claim that was sent again.';
