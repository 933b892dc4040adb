create function pgstate._rekey_collect(p_actor pgstate._actor) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  return pgstate._collect_threads(10000);
end
$$;
comment on function pgstate._rekey_collect(pgstate._actor) is 'Internal: removes chunks that were sealed anew. PS010.';
