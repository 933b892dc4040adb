create function pgstate._claimed_writes(p_key text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return coalesce((pgstate._claim_rules_of(p_key)).claimed_writes, false);
end
$$;
comment on function pgstate._claimed_writes(text) is 'Internal: may a claimed entry be written without its token?';
