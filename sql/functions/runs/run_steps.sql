create function pgstate.run_steps(key text, agent text default null) returns setof pgstate.step_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(run_steps.agent, run_steps.key, false);
begin
  if run_steps.key is null or not pgstate._key_ok(run_steps.key) then
    perform pgstate._bad_key(run_steps.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return query select s.* from pgstate._run_steps(run_steps.key) s;
end
$$;
comment on function pgstate.run_steps(text, text) is 'The steps of a run in the order of its code, with their results where those are JSON. PS001 PS010.';
