create function pgstate.grant_access(agent text, subtree text, "right" text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(grant_access.agent, grant_access.subtree, grant_access."right", true);
end
$$;
comment on function pgstate.grant_access(text, text, text) is
  'Grants read, write or admin on a key, a subtree (research/**) or everything (**); {agent} as a segment stands for the agent''s name. The caller needs admin on all of it. PS002 PS007 PS010.';
