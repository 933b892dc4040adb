-- A put replaces value and expiry, and keeps priority and not_before unless given.
create function pgstate.put(
  key text, value jsonb, expect bigint default null, expect_value jsonb default null, ttl interval default null,
  op_id text default null, token bigint default null, priority int default null, not_before timestamptz default null, agent text default null
) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_out pgstate.outcome;
begin
  select o.* into v_out from pgstate.write_many(array['put'], array[put.key],
    "values" => array[put.value], expects => array[put.expect], expect_values => array[put.expect_value], ttls => array[put.ttl],
    tokens => array[put.token], priorities => array[put.priority], not_befores => array[put.not_before],
    op_ids => case when put.op_id is not null then array[put.op_id] end, agent => put.agent) o;
  if v_out.code is not null then
    perform pgstate._raise(v_out.code, put.key);
  end if;
  return row(v_out.status, v_out.version, v_out.value)::pgstate.written;
end
$$;
comment on function pgstate.put(text, jsonb, bigint, jsonb, interval, text, bigint, int, timestamptz, text) is
  'Writes a key. expect: null writes regardless, 0 creates only, n replaces version n; expect_value compares the value. Status ok with the new version, or conflict (current version and value), held (somebody else''s claim), stale (token). ttl null: no expiry. PS001 PS003 PS004 PS007 PS010 PS030 PS040.';
