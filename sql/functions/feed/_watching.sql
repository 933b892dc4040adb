-- Who is to be woken for these keys: the channels of those who watch any of them; null for nobody.
create function pgstate._watching(p_keys text[], p_now timestamptz) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[];
begin
  select array_agg(w.channel) into v_channels
    from pgstate.watcher w
   -- the union detoasts once for all of the keys
   where w.expires_at > p_now and (w.ranges + '{}') @> any (p_keys)
     -- the registration may be older than a revocation (one that was kept locked has outlasted it): what counts is what may be read now
     and exists (select from pgstate.reach r
                  where r.agent_id = any (w.agent_ids)
                    and case when cardinality(p_keys) = 1 then r.reads @> p_keys[1] else (w.ranges * r.reads) @> any (p_keys) end);
  return v_channels;
end
$$;
comment on function pgstate._watching(text[], timestamptz) is 'Internal: the channels that watch any of the keys.';
