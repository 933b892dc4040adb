-- A channel of a checkpoint, put together from its chunks where it is JSON, and a list of a million elements at most.
create function pgstate._channel_value(p_stores bigint[], p_name text, p_version text, p_type text, p_data bytea) returns pgstate.channel_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_row pgstate.channel_row;
  v_data bytea := p_data;
  v_hashes bytea[];
  v_length bigint;
  v_type text;
begin
  v_row.channel := p_name;
  v_row.version := p_version;
  v_row.type := p_type;
  if p_type = '@' then
    select k.type, k.data into v_row.type, v_data
      from pgstate.chunk k where k.thread_id = any (p_stores) and k.hash = p_data limit 1;
  elsif p_type ~ '^#[0-9]$' then
    v_hashes := array(select r.hash from pgstate._refs(array[p_type], array[p_data]) with ordinality r (hash, ord) order by r.ord);
    for v_level in 1 .. substr(p_type, 2)::int loop
      -- what is no page was never asked for what it names; pages that name pages many times over would make a list that nobody has saved
      v_length := (
        select sum(octet_length(k.data)) / 16
          from unnest(v_hashes) w (hash)
          cross join lateral (select x.data from pgstate.chunk x where x.thread_id = any (p_stores) and x.hash = w.hash and x.type ^@ '#' limit 1) k);
      if v_length > 1000000 then
        return v_row;
      end if;
      v_hashes := array(
        select substr(k.data, 16 * i + 1, 16)
          from unnest(v_hashes) with ordinality w (hash, ord)
          cross join lateral (select x.data from pgstate.chunk x where x.thread_id = any (p_stores) and x.hash = w.hash and x.type ^@ '#' limit 1) k
          cross join generate_series(0, octet_length(k.data) / 16 - 1) i
         order by w.ord, i);
    end loop;
    -- one type, or the lowest name of several: then it is not all JSON. A large leaf that is named many times over makes more than
    -- a text can be: not an error, which would keep the other channels from being read
    select max(k.bytes),
           case when bool_and(ltrim(k.type, '+') = 'json') then 'json' else min(ltrim(k.type, '+')) filter (where ltrim(k.type, '+') <> 'json') end,
           '[' || string_agg(case when k.type ^@ '+' then substr(k.data, 2, greatest(octet_length(k.data) - 2, 0)) else k.data end, ',' order by k.ord)
                    filter (where k.bytes <= pgstate._checkpoint_limit()) || ']'
      into v_length, v_type, v_data
      from (select x.type, x.data, w.ord, sum(octet_length(x.data)) over () as bytes
              from unnest(v_hashes) with ordinality w (hash, ord)
              cross join lateral (select y.type, y.data from pgstate.chunk y where y.thread_id = any (p_stores) and y.hash = w.hash limit 1) x) k;
    if v_length > pgstate._checkpoint_limit() then
      return v_row;
    end if;
    v_row.type := v_type;
  end if;
  if v_row.type = 'json' then
    v_row.value := pgstate._json_of(v_data);
  end if;
  return v_row;
end
$$;
comment on function pgstate._channel_value(bigint[], text, text, text, bytea) is 'Internal: a channel of a checkpoint with its value.';
