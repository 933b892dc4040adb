create function pgstate._cursor(p_actor pgstate._actor) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return '1.' || pgstate._feed_place(p_actor) || '.' || pgstate._snapshot(p_actor.epoch);
end
$$;
comment on function pgstate._cursor(pgstate._actor) is 'Internal: a cursor for the calling statement''s snapshot.';
