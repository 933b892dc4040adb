-- A claim that is not found under REPEATABLE READ may be one that the snapshot does not show: 40001 then, as for a write with its token.
create function pgstate._check_lost(p_key text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform from pgstate.entry e where e.key = p_key and e.value is not null for update;
    if found then
      perform pgstate._check_claims_seen(array[p_key]);
    end if;
  end if;
end
$$;
comment on function pgstate._check_lost(text) is 'Internal: 40001 when a claim may have been made since the snapshot.';
