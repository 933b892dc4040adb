-- Counts anew what an agent keeps, by the entries under what it may write, and has the parts add up to that: p_part is
-- one that this transaction has locked. In one statement, since a write that ends meanwhile changes both.
create function pgstate._count_usage(p_agent_id int, p_part bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  with kept as (
    select count(*) as entries, coalesce(sum(pg_column_size(e.value) + coalesce(e.tail_bytes, 0)), 0) as bytes
      from pgstate._reach r join pgstate.agent a on a.id = r.agent_id
      cross join lateral (
        -- half open, exactly: no key holds chr(1)
        select coalesce(case when lower_inc(s) then lower(s) else lower(s) || chr(1) end, '') as low,
               coalesce(case when upper_inc(s) then upper(s) || chr(1) else upper(s) end, chr(127)) as high
          from unnest(r.writes) s) span
      join pgstate.entry e on e.key >= span.low and e.key < span.high and e.value is not null and e.writer = a.name
           and (e.expires_at is null or e.expires_at > pgstate._now())
     where r.agent_id = p_agent_id
  ), others as (
    select coalesce(sum(u.entries), 0) as entries, coalesce(sum(u.bytes), 0) as bytes
      from pgstate.usage u where u.agent_id = p_agent_id and u.id <> p_part
  )
  update pgstate.usage u set entries = k.entries - o.entries, bytes = k.bytes - o.bytes
    from kept k cross join others o where u.id = p_part;
end
$$;
comment on function pgstate._count_usage(int, bigint) is 'Internal: counts anew what an agent keeps.';
