create function pgstate.cursor(agent text default null) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._cursor(pgstate._enter(cursor.agent));
end
$$;
comment on function pgstate.cursor(text) is 'The point in the change feed that the calling statement''s snapshot is at: changes() from it returns exactly what this statement could not see. PS022 on a standby.';
