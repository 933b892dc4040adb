-- One read of the feed for all the watches of a process, whichever of its agents they belong to.
create function pgstate.changes_for(cursor text, agents text[], patterns text[], "limit" int default 1000, upto text default null)
returns setof pgstate.change
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_wanted pgstate._wanted;
  v_names text[];
  v_ranges pgstate.keymultirange[];
  v_regexes text[];
begin
  if coalesce(cardinality(changes_for.agents), 0) = 0 or cardinality(changes_for.agents) <> coalesce(cardinality(changes_for.patterns), 0) then
    raise exception using errcode = 'PS007', message = 'agents and patterns must be arrays of equal length, at least 1';
  end if;
  if changes_for.agents[1] = all (changes_for.agents) then
    -- most processes have one agent: the short way
    v_actor := pgstate._enter(changes_for.agents[1]);
    v_wanted := pgstate._wanted(changes_for.patterns);
    return query
      select c.* from pgstate._changes(v_actor, changes_for.cursor, changes_for.upto, array[v_actor.name],
                                       array[v_wanted.ranges * v_actor.reads], array[v_wanted.regex], changes_for."limit") c;
    return;
  end if;
  v_names := array(select distinct n from unnest(changes_for.agents) n order by n);
  v_actor := pgstate._enter_for(v_names);
  select array_agg(a.name order by a.name), array_agg(a.ranges order by a.name), array_agg(a.regex order by a.name)
    into v_names, v_ranges, v_regexes
    from (
      select g.name, (g.wanted).ranges * pgstate._reads_of(g.name) as ranges, (g.wanted).regex as regex
        from (select w.name, pgstate._wanted(array_agg(w.pattern)) as wanted
                from unnest(changes_for.agents, changes_for.patterns) w (name, pattern) group by w.name offset 0) g) a;
  return query
    select c.* from pgstate._changes(v_actor, changes_for.cursor, changes_for.upto, v_names, v_ranges, v_regexes, changes_for."limit") c;
end
$$;
comment on function pgstate.changes_for(text, text[], text[], int, text) is
  'changes() for several watches at once: agents and patterns side by side, each agent one that the login may act for; every row names the agent that it is for. PS007 PS010 PS020 PS021 PS022.';
