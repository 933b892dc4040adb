create function pgstate._rekey_collect(p_actor pgstate._actor) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_more boolean;
begin
  perform pgstate._check_admin(p_actor, '**');
  v_more := pgstate._collect_threads(10000);
  -- nobody reads those any more, and no key is needed for them
  return pgstate._collect_runs(10000) or v_more;
end
$$;
comment on function pgstate._rekey_collect(pgstate._actor) is 'Internal: removes chunks that were sealed anew, and what nobody reads any more. PS010.';
