create function pgstate.credentials(agent text default null) returns setof pgstate.credential_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._credentials(pgstate._enter(credentials.agent));
end
$$;
comment on function pgstate.credentials(text) is
  'The credentials that agents may have resolved, and for what; without admin on everything, only the caller''s own. PS010.';
