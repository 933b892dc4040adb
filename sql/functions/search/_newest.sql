-- Which entries in some ranges were written last. All of them have to be looked at, so by the pages of the table rather than in
-- the order of their keys. As the owner, because row-level security would cost more than all the rest; the second wall stands
-- here: what the caller reads, as the ranges.
create function pgstate._newest(p_ranges pgstate.keymultirange, p_regex text, p_path jsonpath, p_scalars jsonb, p_limit int, p_offset int)
returns table (key text, place bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_indexscan = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_ranges pgstate.keymultirange := p_ranges * pgstate._reachable('read');
  v_low text;
  v_high text;
  v_root text;
begin
  if p_scalars is not null then
    -- a subtree with its root is two. To look whether there are so many takes a sixth of what looking at them does
    select s.low, s.high, s.root into v_low, v_high, v_root
      from (select max(r.low collate "C") as low, max(r.high collate "C") as high, case when count(*) = 2 then min(r.low collate "C") end as root, count(*) as spans
              from pgstate._spans(v_ranges) r) s
     where (s.spans = 1 or s.spans = 2 and s.low = s.root || '/') and exists (select from pgstate.entry n where n.key >= s.low and n.key < s.high order by n.key offset 500);
  end if;
  if v_low is not null then
    return query
      select f.key, f.place from pgstate._newest_of_many(v_low, v_high, v_root, p_regex, p_path, p_scalars, v_now, p_limit, p_offset) f;
    return;
  end if;
  return query
    select f.key, row_number() over (order by f.updated_at desc, f.key) from (
      select x.key, x.updated_at
        from (select r.low, r.high from pgstate._spans(v_ranges) r offset 0) s
        cross join lateral (
          select n.key, n.updated_at from pgstate.entry n
           where n.key >= s.low and n.key < s.high and n.live and (n.expires_at is null or n.expires_at > v_now)
             -- of a value that has grown since it was stored whole the rest is read first
             and (p_scalars is null or n.value @> p_scalars or n.full_version < n.version)
             -- behind what most fail at: it takes four times as long
             and (p_regex is null or n.key ~ p_regex)
             and (p_path is null or case when n.full_version < n.version then pgstate._held_value(n) else n.value end @@ p_path)
          offset 0) x
       order by x.updated_at desc, x.key limit p_limit offset p_offset) f;
end
$$;
comment on function pgstate._newest(pgstate.keymultirange, text, jsonpath, jsonb, int, int) is 'Internal: the entries that were written last.';
