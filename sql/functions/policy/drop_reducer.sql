create function pgstate.drop_reducer(name text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_reducer(pgstate._enter(drop_reducer.agent), drop_reducer.name);
end
$$;
comment on function pgstate.drop_reducer(text, text) is 'Forgets a registered reducer that no policy uses. Needs admin on everything. PS007 PS010.';
