-- What writes say of where their values come from, one for each. A source must be one that the writer may read: whoever may
-- not learns nothing of it, not even by a trust that comes out lower. One without a version is the current one; the version
-- that it was is kept. The sources are those from before the call.
create function pgstate._origins(p_actor pgstate._actor, p_trusts text[], p_sources jsonb[]) returns pgstate._origin[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_origins pgstate._origin[] := '{}';
  v_one pgstate._origin;
  v_sources jsonb;
  v_trust text;
  v_denied text;
  v_done text;
begin
  for v_index in 1 .. greatest(cardinality(p_trusts), cardinality(p_sources)) loop
    v_one := null;
    v_trust := p_trusts[v_index];
    v_sources := p_sources[v_index];
    if v_trust is not null and not v_trust = any (enum_range(null::pgstate.trust)::text[])
       or v_sources is not null and (jsonb_typeof(v_sources) <> 'array' or jsonb_array_length(v_sources) > 100) then
      v_one.fault := 'PS007';
    else
      v_one.trust := v_trust::pgstate.trust;
      if v_sources <> '[]' then
        -- no key that the writer may not read goes on
        select bool_and(s.key is not null and (s.version is null or s.version > 0)),
               min(s.key) filter (where not (select p_actor.reads + '{}') @> s.key)
          into v_one.fault, v_denied from pgstate._sources(v_sources) s;
        if v_one.fault::boolean is not true then
          v_one.fault := 'PS007';
        elsif v_denied is not null then
          v_one.fault := 'PS010';
          v_done := pgstate._audit_denied(p_actor, v_denied, jsonb_build_object('asked', 'read'));
        else
          select least(v_one.trust, min(f.trust)), jsonb_build_object('sources', jsonb_agg(jsonb_build_object('key', s.key, 'version', f.version) order by s.ord)),
                 case when count(*) <> count(f.version) then 'PS007' end
            into v_one
            from pgstate._sources(v_sources) s
            left join lateral (
              select e.version, e.trust from pgstate.entry e
               where s.version is null and e.key = s.key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now())
              union all
              select v.version, v.trust from pgstate.version v where v.key = s.key and v.version = s.version and v.value is not null
            ) f on true;
        end if;
      end if;
    end if;
    v_origins := v_origins || v_one;
  end loop;
  return v_origins;
end
$$;
comment on function pgstate._origins(pgstate._actor, text[], jsonb[]) is 'Internal: what writes say of where their values come from.';
