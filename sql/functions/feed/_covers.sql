-- Does the current snapshot see everything that p_seen saw? If not, answering would lose or double changes.
create function pgstate._covers(p_seen pg_snapshot) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  -- most often nothing runs that is older than what was seen
  if pg_snapshot_xmax(p_seen) <= pg_snapshot_xmin(pg_current_snapshot()) then
    return true;
  end if;
  return pg_snapshot_xmax(p_seen) <= pg_snapshot_xmax(pg_current_snapshot())
     and not exists (select from pg_snapshot_xip(pg_current_snapshot()) x where pg_visible_in_snapshot(x, p_seen));
end
$$;
comment on function pgstate._covers(pg_snapshot) is 'Internal: does the current snapshot see all that another saw?';
