create function pgstate.threads(pattern text default '', "limit" int default 1000, after text default null, agent text default null)
returns setof pgstate.thread_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(threads.agent);
  v_ranges pgstate.keymultirange;
begin
  v_ranges := pgstate._page_ranges(v_actor, threads.pattern, threads."limit", threads.after);
  return query select t.* from pgstate._threads(v_ranges, pgstate._pattern_regex(threads.pattern), threads."limit", v_actor.reads) t;
end
$$;
comment on function pgstate.threads(text, int, text, text) is
  'Threads that match a pattern and that the caller may read, in key order: what was saved last, how many checkpoints there are, the bytes that were sent for them, when it was last changed. limit 1 to 100000 (null: all), after: the last key of the page before. PS001 PS002 PS007 PS010.';
