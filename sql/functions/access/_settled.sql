-- May the session take for known where it is, so that its writes need not look? As the owner: the feed's functions read no such table.
create function pgstate._settled() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.identity = pgstate._identity() and i.table_oid = i.tableoid and i.timeline = pgstate._timeline() from pgstate.install i);
end
$$;
comment on function pgstate._settled() is 'Internal: has _settle_identity() nothing to do?';
