-- The short way of a put where there is no row for the key, not even a tombstone: its version, or null when there is one by
-- now. The floor, above which versions of keys that were purged have never been, is read before; a purge that ended while
-- this waited for the row has raised it first, and once the row is ours nobody can purge the key: see _insert_entries().
create function pgstate._put_new(
  p_actor pgstate._actor, p_key text, p_value jsonb, p_ttl interval, p_priority int, p_not_before timestamptz, p_now timestamptz
) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_floor bigint := coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0);
  v_version bigint;
begin
  insert into pgstate.entry as e (key, parent, version, live, value, writer, via, created_at, updated_at, expires_at, priority, not_before, trust)
  values (p_key, left(p_key, -strpos(reverse(p_key), '/')), v_floor + 1, true, p_value, p_actor.name, session_user, p_now, p_now,
          p_now + p_ttl, coalesce(p_priority, 0), p_not_before, p_actor.trust)
      on conflict on constraint entry_pkey do nothing;
  if not found then
    return null;
  end if;
  v_version := v_floor + 1;
  if v_floor <> coalesce(pg_sequence_last_value('pgstate.version_floor'::regclass), 0) then
    v_version := pg_sequence_last_value('pgstate.version_floor'::regclass) + 1;
    update pgstate.entry e set version = v_version where e.key = p_key;
  end if;
  insert into pgstate.version (key, version, epoch, op, created, value, writer, via, at, expires_at, trust)
  values (p_key, v_version, p_actor.epoch, 'put', true, p_value, p_actor.name, session_user, p_now, p_now + p_ttl, p_actor.trust);
  return v_version;
end
$$;
comment on function pgstate._put_new(pgstate._actor, text, jsonb, interval, int, timestamptz, timestamptz) is 'Internal: puts a key that was never there, or null.';
