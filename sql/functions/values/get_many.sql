create function pgstate.get_many(keys text[], agent text default null, min_trust text default null) returns setof pgstate.entry_item
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_many.agent);
  v_now timestamptz := pgstate._now();
  v_min pgstate.trust := pgstate._trust_named(get_many.min_trust);
begin
  v_actor.reads := v_actor.reads + '{}';
  return query
    select k.ord::int,
           case when k.code = 'PS010' then 'denied' when k.code is not null then 'invalid' when e.key is null then 'missing' else 'ok' end,
           k.key,
           case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end,
           e.version, e.kind::text, e.writer, e.via, e.created_at, e.updated_at, e.expires_at, e.priority, e.not_before,
           k.code, case when k.code is not null then pgstate._error_text(k.code, k.key) end, e.trust::text
      from (select u.key, u.ord,
                   case when u.key is null or not pgstate._key_ok(u.key) then 'PS001'
                        when not v_actor.reads @> u.key then 'PS010' end as code
              from unnest(get_many.keys) with ordinality as u (key, ord)) k
      left join lateral (
        select x.* from pgstate.entry x
         where k.code is null and x.key = k.key and x.value is not null and (x.expires_at is null or x.expires_at > v_now) and (v_min is null or x.trust >= v_min)
        offset 0
      ) e on true
     order by k.ord;
end
$$;
comment on function pgstate.get_many(text[], text, text) is 'Many entries in one statement: a row per key in the order of the input, status ok, missing, denied or invalid. min_trust as in get().';
