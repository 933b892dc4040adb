create function pgstate.rekey_collect(agent text default null) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._rekey_collect(pgstate._enter(rekey_collect.agent));
end
$$;
comment on function pgstate.rekey_collect(text) is
  'Removes the chunks that rekey_refs() has left without a name, and what else threads do not need any more, and what deleted runs held, as maintain() does; is there more? Needs admin on everything. PS010.';
