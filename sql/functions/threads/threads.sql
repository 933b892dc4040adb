create function pgstate.threads(pattern text default '', "limit" int default 1000, after text default null, agent text default null)
returns setof pgstate.thread_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(threads.agent);
  v_ranges pgstate.keymultirange;
begin
  perform pgstate._check_pattern(threads.pattern);
  if threads."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  elsif threads.after is not null and not pgstate._key_ok(threads.after) then
    perform pgstate._bad_key(threads.after);
  end if;
  v_ranges := pgstate._pattern_ranges(threads.pattern) * v_actor.reads;
  if isempty(v_ranges) and threads.pattern <> '' then
    perform pgstate._deny();
  end if;
  if threads.after is not null then
    v_ranges := v_ranges * multirange(pgstate._range(threads.after || chr(1), chr(127)));
  end if;
  return query select t.* from pgstate._threads(v_ranges, pgstate._pattern_regex(threads.pattern), threads."limit", v_actor.reads) t;
end
$$;
comment on function pgstate.threads(text, int, text, text) is
  'Threads that match a pattern and that the caller may read, in key order: what was saved last, how many checkpoints there are, the bytes that were sent for them, when it was last changed. limit 1 to 100000 (null: all), after: the last key of the page before. PS001 PS002 PS007 PS010.';
