create function pgstate.drop_search(subtree text, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_search(pgstate._enter(drop_search.agent), drop_search.subtree);
end
$$;
comment on function pgstate.drop_search(text, text) is 'Takes away what set_search() set for a key or subtree; what is indexed there goes with the next maintain(). PS002 PS007 PS010.';
