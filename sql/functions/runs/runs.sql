create function pgstate.runs(
  pattern text default '', "limit" int default 1000, after text default null, states text[] default null, agent text default null
) returns setof pgstate.run_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(runs.agent);
  v_ranges pgstate.keymultirange;
begin
  if not coalesce(runs.states <@ array['waiting', 'running', 'done', 'failed', 'cancelled'], true) then
    raise exception using errcode = 'PS007', message = 'states are waiting, running, done, failed and cancelled';
  end if;
  v_ranges := pgstate._page_ranges(v_actor, runs.pattern, runs."limit", runs.after);
  return query select r.* from pgstate._runs(v_ranges, pgstate._pattern_regex(runs.pattern), runs.states, runs."limit", v_actor.reads) r;
end
$$;
comment on function pgstate.runs(text, int, text, text[], text) is
  'Runs that match a pattern and that the caller may read, in key order: their state, the step that was finished last, who works on them. states: only these. limit 1 to 100000 (null: all), after: the last key of the page before. PS001 PS002 PS007 PS010.';
