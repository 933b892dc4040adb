create function pgstate.effective(agent text default null) returns setof pgstate.effective_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  -- the login itself asks about others, as with all administration
  v_actor pgstate._actor := pgstate._enter(null);
begin
  return query select * from pgstate._effective(v_actor, coalesce(effective.agent, v_actor.name));
end
$$;
comment on function pgstate.effective(text) is
  'What an agent may and may not, its own grants and denials and those of its groups, and which of them are in force, denied, partly denied, or ended. About others than the caller: needs admin on everything. PS007 PS010.';
