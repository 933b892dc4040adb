create function pgstate.me(agent text default null) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (pgstate._enter(me.agent)).name;
end
$$;
comment on function pgstate.me(text) is 'The acting agent''s name. PS010 when the login is not registered, or may not act for the agent named.';
