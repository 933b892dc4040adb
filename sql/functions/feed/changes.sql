create function pgstate.changes(cursor text, patterns text[] default array[''], "limit" int default 1000, upto text default null, agent text default null, min_trust text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(changes.agent);
  -- refuses what is no pattern first
  v_wanted pgstate._wanted := pgstate._wanted(changes.patterns);
  -- a ticket is named again as it was
  v_said text := coalesce(nullif(changes.agent, ''), current_setting('pgstate.agent', true));
begin
  -- each pattern by itself: one that reaches nothing must not hide behind another
  if exists (select from unnest(changes.patterns) p where p <> '' and isempty(pgstate._pattern_ranges(p) * v_actor.reads)) then
    perform pgstate._deny();
  end if;
  return query
    select c.* from pgstate.changes_for(changes.cursor, array_fill(case when strpos(v_said, '/') > 0 then v_said else v_actor.name end, array[cardinality(changes.patterns)]), changes.patterns,
                                        changes."limit", changes.upto, changes.min_trust) c;
end
$$;
comment on function pgstate.changes(text, text[], int, text, text, text) is
  'What happened after a cursor, in order, for keys that match any of the patterns and that the caller may read; limit 1 to 10000. Each row carries the cursor to go on from after it. The last row is a bookmark (op bookmark, key null): go on from its cursor; whole false there says that the page was full and more is waiting. previous is the value before. upto: no further than that cursor. min_trust: only versions that are trusted at least so far. PS002 PS010 PS020 PS021 PS022.';
