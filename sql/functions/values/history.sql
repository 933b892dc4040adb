create function pgstate.history(key text, "limit" int default 100, before bigint default null, agent text default null)
returns setof pgstate.version_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(history.agent, history.key, false);
  -- outside the query: under row-level security an expression that may leak is no index condition
  v_before bigint := coalesce(history.before, 9223372036854775807);
begin
  if history.key is null or not pgstate._key_ok(history.key) then
    perform pgstate._bad_key(history.key);
  elsif not v_actor.readable then
    perform pgstate._deny();
  elsif history."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  end if;
  return query
    select v.key, v.version, v.op::text,
           case when v.reducer is null then v.value else pgstate._value_at(v.key, v.version) end, v.writer, v.via, v.at, v.expires_at, v.created, v.trust::text
      from pgstate.version v
     where v.key = history.key and v.version < v_before
     order by v.version desc limit history."limit";
end
$$;
comment on function pgstate.history(text, int, bigint, text) is 'Versions of a key, newest first: what each was, who wrote it through which login, and when. before: only older ones, for the next page. PS001 PS007 PS010.';
