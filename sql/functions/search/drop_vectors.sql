create function pgstate.drop_vectors(name text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_vectors(pgstate._enter(drop_vectors.agent), drop_vectors.name);
end
$$;
comment on function pgstate.drop_vectors(text, text) is 'Removes a vector index that no set_search() names, with its vectors. Needs admin on everything. PS007 PS010.';
