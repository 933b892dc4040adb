-- Has a cursor seen everything that retention has removed, and what came right after it? Else changes that it is to be
-- told, or values before them, may be gone. Cursors younger than install.cursor_window always have: see _cut_version().
create function pgstate._kept(p_base pg_snapshot) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.horizon < pg_snapshot_xmin(p_base) or i.horizon is null from pgstate.install i);
end
$$;
comment on function pgstate._kept(pg_snapshot) is 'Internal: is all that a cursor of this snapshot can ask for still there?';
