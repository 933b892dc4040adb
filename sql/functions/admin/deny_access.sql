create function pgstate.deny_access(agent text, subtree text, "right" text, ttl interval default null, until timestamptz default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._grant(deny_access.agent, deny_access.subtree, deny_access."right", true, true, deny_access.ttl, deny_access.until);
end
$$;
comment on function pgstate.deny_access(text, text, text, interval, timestamptz) is
  'Denies an agent, or each member of a group, read, write or admin on a key or subtree, whatever is granted there, to it or to a group: denials win. Each right is denied by itself, and who keeps admin there could take a denial back. ttl or until: when it ends by itself. Not for the administrator. revoke_access(..., deny => true) takes it back. The caller needs admin on all of it, and on everything to deny admin. PS002 PS007 PS010 PS060.';
