-- The version that a key was at in a past state that is further back than its newest eight versions; no row when it had none.
-- Versions of a key are dense and those of a past state are a prefix, so it can be searched for: a guess, by how far apart in
-- the feed the newest are (seq, of which p_seq is that state's), then steps that grow away from it and never pass the middle:
-- few for a key that is written regularly, a logarithm for any. A version that is not there is older than the key's first.
--
-- In SQL and not a definer, so that it is inlined and the policies' subqueries are computed once for all keys; as a
-- function of its own the search takes ten times as long. What a version is compared with stands in a column: under
-- row-level security an expression is no index condition. A range has both its ends: one that is open reads a whole page of
-- the index before its first row. OFFSET 0: otherwise all versions of a key may be fetched once, to be searched in memory.
create function pgstate._search(
  p_key text, p_newest bigint, p_epoch int, p_base pg_snapshot, p_upto pg_snapshot, p_after bigint, p_seq bigint
) returns setof pgstate.version
language sql stable
as $$
  select v.*
    from (
      with recursive search (low, high, step, probe) as (
        -- from high on everything came later; low is part of it, or older than all
        select 0::bigint, p_newest - 7, 1::bigint,
               greatest(p_newest - greatest(coalesce(7 * (r.newer - p_seq) / nullif(r.newer - r.older, 0), 16), 8), 1)
          from (select min(n.seq) as older, max(n.seq) as newer
                  from (select p_newest - 8 as below offset 0) b
                  cross join lateral (select v.seq from pgstate.version v where v.key = p_key and v.version > b.below offset 0) n) r
         where p_newest > 8
        union all
        select n.low, n.high, least(s.step, 1000000000000000) * 8,
               case when p.later then greatest(n.high - s.step, (n.low + n.high) / 2)
                    else least(n.low + s.step, (n.low + n.high) / 2) end
          from search s
          left join lateral (
            select not pgstate._seen(v.epoch, v.xid, v.seq, p_epoch, p_base, p_upto, p_after) as later
              from pgstate.version v where v.key = p_key and v.version = s.probe offset 0) p on true
          cross join lateral (
            select case when p.later then s.low else s.probe end as low, case when p.later then s.probe else s.high end as high) n
         where s.high - s.low > 1
      )
      select s.low as version from search s where s.high - s.low <= 1
    ) w
    cross join lateral (select x.* from pgstate.version x where x.key = p_key and x.version = w.version offset 0) v
$$;
comment on function pgstate._search(text, bigint, int, pg_snapshot, pg_snapshot, bigint, bigint) is
  'Internal: the version that a key was at in a past state, looked for below its newest eight.';
