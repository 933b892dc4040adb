create function pgstate.revoke_access(agent text, subtree text, "right" text, deny boolean default false) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(revoke_access.agent, revoke_access.subtree, revoke_access."right", false, revoke_access.deny);
end
$$;
comment on function pgstate.revoke_access(text, text, text, boolean) is 'Takes a grant back, or with deny a denial, exactly as it was given; open watches lose what was granted at once. PS002 PS007 PS010.';
