create function pgstate._acting() returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select a.agent_id from pgstate._acting_any a);
end
$$;
comment on function pgstate._acting() is 'Internal: id of the acting agent, null for nobody.';
