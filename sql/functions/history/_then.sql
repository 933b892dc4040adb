-- The version that a key was at in a past state; no row when it had none. The newest is looked at, which is enough for most
-- keys, then seven more one by one, in one descent of the index; then it is searched for. The parts run one after the other,
-- and no further than to the first row. In SQL for the reasons that _search() has.
create function pgstate._then(
  p_key text, p_newest bigint, p_epoch int, p_base pg_snapshot, p_upto pg_snapshot, p_after bigint, p_seq bigint
) returns setof pgstate.version
language sql stable
as $$
  (select n.*
     from (select p_newest - 8 as below offset 0) b
     cross join lateral (
       select v.* from pgstate.version v where v.key = p_key and v.version > b.below and v.version <= p_newest
        order by v.version desc offset 0) n
    where pgstate._seen(n.epoch, n.xid, n.seq, p_epoch, p_base, p_upto, p_after)
    limit 1)
  union all
  select d.* from pgstate._search(p_key, p_newest, p_epoch, p_base, p_upto, p_after, p_seq) d
  limit 1
$$;
comment on function pgstate._then(text, bigint, int, pg_snapshot, pg_snapshot, bigint, bigint) is
  'Internal: the version that a key was at in a past state.';
