-- Versions that an agent wrote after a past state, and those of others that say that they derive from them, directly or by way of
-- others: sources are named by the writers, what derives from something and does not say so is not known. Whoever names a value
-- into which others have merged something names what it was before, too. Which comes from which is one list, to be joined: what is
-- looked up for each version takes as long as all of them together, times as many.
create function pgstate._written_since(p_agent text, p_moment pgstate._moment)
returns table (key text, version bigint, writer text, kind text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_nestloop = off
as $$
begin
  return query
    with recursive since as materialized (
      select v.key, v.version, v.writer, v.meta -> 'sources' as sources, v.op = 'merge' and not v.created as merged
        from pgstate.version v
       where (v.epoch > p_moment.epoch or v.epoch = p_moment.epoch and v.xid >= pg_snapshot_xmin(p_moment.base))
         and (v.writer = p_agent or v.meta ? 'sources' or v.op = 'merge')
         and not pgstate._seen(v.epoch, v.xid, v.seq, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after)
    ), step as materialized (
      select u.item ->> 'key' as source, (u.item ->> 'version')::bigint as source_version, s.key, s.version, false as merged
        from since s cross join lateral jsonb_array_elements(s.sources) u (item)
      union all
      select s.key, s.version - 1, s.key, s.version, true from since s where s.merged
    ), reached (key, version, merged) as (
      select s.key, s.version, false from since s where s.writer = p_agent
      union
      select s.key, s.version, s.merged from reached r join step s on s.source = r.key and s.source_version = r.version
    )
    select s.key, s.version, s.writer, e.kind::text
      from reached r join since s on s.key = r.key and s.version = r.version
      left join lateral (select x.kind from pgstate.entry x where x.key = s.key offset 0) e on true
     where not r.merged
     order by s.key, s.version;
end
$$;
comment on function pgstate._written_since(text, pgstate._moment) is 'Internal: what an agent wrote after a past state, and what derives from it.';
