create function pgstate.runs(
  pattern text default '', "limit" int default 1000, after text default null, states text[] default null, agent text default null
) returns setof pgstate.run_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(runs.agent);
  v_ranges pgstate.keymultirange;
begin
  perform pgstate._check_pattern(runs.pattern);
  if runs."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  elsif runs.after is not null and not pgstate._key_ok(runs.after) then
    perform pgstate._bad_key(runs.after);
  elsif not coalesce(runs.states <@ array['waiting', 'running', 'done', 'failed', 'cancelled'], true) then
    raise exception using errcode = 'PS007', message = 'states are waiting, running, done, failed and cancelled';
  end if;
  v_ranges := pgstate._pattern_ranges(runs.pattern) * v_actor.reads;
  if isempty(v_ranges) and runs.pattern <> '' then
    perform pgstate._deny();
  end if;
  if runs.after is not null then
    v_ranges := v_ranges * multirange(pgstate._range(runs.after || chr(1), chr(127)));
  end if;
  return query select r.* from pgstate._runs(v_ranges, pgstate._pattern_regex(runs.pattern), runs.states, runs."limit", v_actor.reads) r;
end
$$;
comment on function pgstate.runs(text, int, text, text[], text) is
  'Runs that match a pattern and that the caller may read, in key order: their state, the step that was finished last, who works on them. states: only these. limit 1 to 100000 (null: all), after: the last key of the page before. PS001 PS002 PS007 PS010.';
