-- Is a version part of a past state? In SQL and not a definer, so that it is inlined.
create function pgstate._seen(p_epoch int, p_xid xid8, p_seq bigint, p_of int, p_base pg_snapshot, p_upto pg_snapshot, p_after bigint)
returns boolean
language sql stable
as $$
  select p_epoch < p_of
      or p_epoch = p_of and (pg_catalog.pg_visible_in_snapshot(p_xid, p_base)
                             or p_upto is not null and p_seq <= p_after and pg_catalog.pg_visible_in_snapshot(p_xid, p_upto))
$$;
comment on function pgstate._seen(int, xid8, bigint, int, pg_snapshot, pg_snapshot, bigint) is 'Internal: is a version (epoch, xid, seq) part of a past state?';
