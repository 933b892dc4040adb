create function pgstate.touch(keys text[], agent text default null) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._touch(touch.agent, touch.keys);
end
$$;
comment on function pgstate.touch(text[], text) is
  'Lets the time to live of entries begin anew: each lives on for as long as its last write let it. Returns how many did; those without a time to live, those that have expired, and those that the caller may not read and write stay as they are. No new version: nothing else about the entry changes. PS010.';
