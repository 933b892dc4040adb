create function pgstate.explain_access(agent text, key text, "right" text) returns setof pgstate.access_reason
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query select * from pgstate._explain_access(pgstate._enter(null), explain_access.agent, explain_access.key, explain_access."right");
end
$$;
comment on function pgstate.explain_access(text, text, text) is
  'Why an agent has a right on a key, or not: the grants and denials that cover the key now, the one that decides first (any denial before all grants, then the nearest); without any, one row that says so. About others than the caller: needs admin on the key. PS001 PS007 PS010.';
