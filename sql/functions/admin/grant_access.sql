create function pgstate.grant_access(agent text, subtree text, "right" text, ttl interval default null, until timestamptz default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(grant_access.agent, grant_access.subtree, grant_access."right", true, false, grant_access.ttl, grant_access.until);
end
$$;
comment on function pgstate.grant_access(text, text, text, interval, timestamptz) is
  'Grants an agent, or each member of a group, read, write or admin on a key, a subtree (research/**) or everything (**); {agent} as a segment stands for the agent''s name. ttl or until: when it ends by itself; granted again, it ends as is said then. The caller needs admin on all of it. PS002 PS007 PS010 PS060.';
