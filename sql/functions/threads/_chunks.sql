-- The chunks that roots reach, level by level, each once. A list has nine levels at most: pages that go on below were made to
-- keep whoever reads them busy.
create function pgstate._chunks(p_stores bigint[], p_types text[], p_data bytea[], out hashes bytea[], out types text[], out data bytea[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_wanted bytea[] := array(select distinct r from pgstate._refs(p_types, p_data) r);
  v_hashes bytea[];
  v_types text[];
  v_data bytea[];
  v_bytes bigint := 0;
begin
  hashes := '{}';
  types := '{}';
  data := '{}';
  for v_level in 1 .. 9 loop
    exit when v_wanted = '{}';
    -- a fork may have sent again what it has from where it came from: once
    select array_agg(k.hash), array_agg(k.type), array_agg(k.data) into v_hashes, v_types, v_data
      from unnest(v_wanted) w (hash)
      cross join lateral (select x.hash, x.type, x.data from pgstate.chunk x where x.thread_id = any (p_stores) and x.hash = w.hash limit 1) k;
    -- a row has room for twice a checkpoint, of which the roots and writes need some
    v_bytes := v_bytes + coalesce(pg_column_size(v_data), 0);
    if v_bytes > pgstate._checkpoint_limit() / 8 * 15 then
      raise exception using errcode = 'PS004',
        message = format('what was asked for is larger than the %s MB that can be read at once: it reaches chunks of several checkpoints', pgstate._checkpoint_limit() / 8 * 15 >> 20),
        hint = 'Ask for fewer checkpoints at a time; checkpoint_state(key, id, ns) reads those of one channel by channel.';
    end if;
    hashes := hashes || v_hashes;
    types := types || v_types;
    data := data || v_data;
    v_wanted := array(select r from pgstate._refs(v_types, v_data) r except select h from unnest(hashes) h);
  end loop;
end
$$;
comment on function pgstate._chunks(bigint[], text[], bytea[]) is 'Internal: the chunks that roots reach.';
