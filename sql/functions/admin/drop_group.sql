create function pgstate.drop_group(name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._drop_group(drop_group.name);
end
$$;
comment on function pgstate.drop_group(text) is
  'Removes a group with what it was granted and denied; its members stay. Needs admin on everything. PS007 PS010.';
