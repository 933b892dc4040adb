create function pgstate.get_as_of(key text, version bigint default null, cursor text default null, at timestamptz default null, agent text default null)
returns pgstate.past_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_as_of.agent);
  v_moment pgstate._moment;
  v_version bigint := get_as_of.version;
  v_row pgstate.past_row;
begin
  if get_as_of.key is null or not pgstate._key_ok(get_as_of.key) then
    perform pgstate._bad_key(get_as_of.key);
  elsif not v_actor.reads @> get_as_of.key then
    perform pgstate._deny();
  elsif num_nonnulls(get_as_of.version, get_as_of.cursor, get_as_of.at) <> 1 then
    perform pgstate._check_as_of(num_nonnulls(get_as_of.version, get_as_of.cursor, get_as_of.at));
  end if;
  if get_as_of.version is null then
    v_moment := pgstate._moment(v_actor, get_as_of.cursor, get_as_of.at);
    -- as in _then(), which finds the newest in the table of entries: here that is one look more
    select 'ok', n.key, case when n.reducer is null then n.value else pgstate._value_at(n.key, n.version) end,
           n.version, n.writer, n.via, n.at, n.expires_at, n.trust::text into v_row
      from (select v.* from pgstate.version v where v.key = get_as_of.key order by v.version desc limit 8) n
     where pgstate._seen(n.epoch, n.xid, n.seq, v_moment.epoch, v_moment.base, v_moment.upto, v_moment.after)
     limit 1;
    if v_row.key is null then
      v_version := pgstate._version_then(get_as_of.key, v_moment);
    end if;
  end if;
  if v_version is not null then
    select 'ok', v.key, case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end,
           v.version, v.writer, v.via, v.at, v.expires_at, v.trust::text into v_row
      from pgstate.version v where v.key = get_as_of.key and v.version = v_version;
  end if;
  if v_row.value is null or v_row.expires_at <= v_moment.at then
    v_row := null;
    v_row.status := 'missing';
    v_row.key := get_as_of.key;
  end if;
  return v_row;
end
$$;
comment on function pgstate.get_as_of(text, bigint, text, timestamptz, text) is
  'One entry as it was: at a version of its own, at a cursor (of cursor(), list() or changes(); one from inside a page means right after that change), or at a time, which stands for the newest point of the feed that was recorded before it, about one a second. Status missing where there was none. What had expired at the time is missing; of a cursor, what had expired when the last change before it was written. PS001 PS007 PS010 PS020 PS021 PS022 PS023.';
