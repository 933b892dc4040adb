-- Keys of values that an agent wrote after a past state, in their order, from a key on; and the last version of it at each. As many as
-- p_limit, and as have 64 MB of values, now and before, since whoever looks at them has them all in memory; the last row is the first
-- that is left.
create function pgstate._keys_since(p_agent text, p_moment pgstate._moment, p_after text, p_limit int)
returns table (key text, version bigint, beyond boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
as $$
declare
  v_key record;
  v_count int := 0;
  v_size bigint := 0;
begin
  for v_key in
    select w.key, w.last, pg_column_size(jsonb_build_array(e.value)) + coalesce(b.size, 0) as size
      from (
        select v.key, min(v.version) as first, max(v.version) as last
          from pgstate.version v
         where (v.epoch > p_moment.epoch or v.epoch = p_moment.epoch and v.xid >= pg_snapshot_xmin(p_moment.base))
           and v.writer = p_agent and v.key > p_after
           and not pgstate._seen(v.epoch, v.xid, v.seq, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after)
         group by v.key
         order by v.key) w
      cross join lateral (select x.value from pgstate.entry x where x.key = w.key and x.kind = 'value' offset 0) e
      left join lateral (
        -- of one that grows only what was merged last
        select case when x.reducer is null then pg_column_size(jsonb_build_array(x.value)) else (select i.value_limit from pgstate.install i) end as size
          from pgstate.version x where x.key = w.key and x.version = w.first - 1 offset 0) b on true
     order by w.key
  loop
    v_size := v_size + v_key.size;
    key := v_key.key;
    version := v_key.last;
    beyond := v_count = p_limit or v_count > 0 and v_size > 67108864;
    return next;
    exit when beyond;
    v_count := v_count + 1;
  end loop;
end
$$;
comment on function pgstate._keys_since(text, pgstate._moment, text, int) is 'Internal: keys of values that an agent wrote after a past state.';
