create function pgstate.vectors(agent text default null) returns setof pgstate.vectors_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(vectors.agent);
begin
  return query select * from pgstate._vectors();
end
$$;
comment on function pgstate.vectors(text) is 'The vector indexes of this installation. PS010.';
