-- A put replaces value and expiry, and keeps priority and not_before unless given.
create function pgstate.put(
  key text, value jsonb, expect bigint default null, expect_value jsonb default null, ttl interval default null,
  op_id text default null, token bigint default null, priority int default null, not_before timestamptz default null, agent text default null,
  trust text default null, sources jsonb default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('put', put.key, put.value, put.expect, put.expect_value, put.ttl, put.token, put.priority,
    put.not_before, op_id => put.op_id, agent => put.agent, trust => put.trust, sources => put.sources), put.key);
end
$$;
comment on function pgstate.put(text, jsonb, bigint, jsonb, interval, text, bigint, int, timestamptz, text, text, jsonb) is
  'Writes a key. expect: null writes regardless, 0 creates only, n replaces version n; expect_value compares the value. Status ok with the new version, or conflict (current version and value), held (somebody else''s claim), stale (token). ttl null: no expiry. trust: the most that the value is to be trusted (external, agent, verified or operator; the caller''s own is an upper bound); sources: an array of what it derives from, keys or {"key", "version"} that the caller may read, whose trust it does not exceed. PS001 PS003 PS004 PS007 PS008 PS009 PS010 PS030 PS040.';
