-- Has a point of the feed seen everything that retention has removed, and what came right after it? Else values of then may
-- be gone. That of cursors is looked at in _position() and _look().
create function pgstate._kept(p_base pg_snapshot, p_epoch int) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return (select i.horizon is null or i.horizon_epoch < p_epoch or i.horizon_epoch = p_epoch and i.horizon < pg_snapshot_xmin(p_base)
            from pgstate.install i);
end
$$;
comment on function pgstate._kept(pg_snapshot, int) is 'Internal: is all that was there at a point of the feed still there?';
