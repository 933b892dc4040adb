-- Has a cursor seen everything that retention has removed, and what came right after it? Else changes that it is to be
-- told, or values before them, may be gone. Cursors younger than install.cursor_window always have: see _cut_version().
-- p_epoch: of the snapshot, where it may be an older one.
create function pgstate._kept(p_base pg_snapshot, p_epoch int default null) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.horizon is null or i.horizon_epoch < coalesce(p_epoch, i.epoch)
                 or i.horizon < pg_snapshot_xmin(p_base) and i.horizon_epoch = coalesce(p_epoch, i.epoch)
            from pgstate.install i);
end
$$;
comment on function pgstate._kept(pg_snapshot, int) is 'Internal: is all that a cursor of this snapshot can ask for still there?';
