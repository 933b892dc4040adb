create function pgstate.checkpoints(
  pattern text default '', ns text default null, before text default null, "limit" int default 1000, filter jsonb default null,
  run_id text default null, after_key text default null, after_ns text default null, agent text default null
) returns setof pgstate.checkpoint_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(checkpoints.agent);
  v_ranges pgstate.keymultirange;
  v_key text := case when pgstate._key_ok(checkpoints.pattern) and checkpoints.pattern !~ '[*?]' then checkpoints.pattern end;
begin
  v_ranges := pgstate._page_ranges(v_actor, checkpoints.pattern, checkpoints."limit", null);
  return query
    select c.* from pgstate._checkpoints(v_key, v_ranges, pgstate._pattern_regex(checkpoints.pattern), checkpoints.ns, checkpoints.before,
                                         checkpoints."limit", checkpoints.filter, checkpoints.run_id,
                                         checkpoints.after_key, checkpoints.after_ns) c;
end
$$;
comment on function pgstate.checkpoints(text, text, text, int, jsonb, text, text, text, text) is
  'Checkpoints of a thread, or of all threads that match a pattern and that the caller may read, the highest id first, without what their chunks hold. ns: only this namespace; before: only ids below this one, for the next page (with after_key and after_ns, those of the last row, also those with the same id behind it: forks have the ids of what they come from); filter: metadata that contains this; run_id: of this run. limit 1 to 100000 (null: all). PS002 PS007 PS010.';
