-- A cursor as text: where it is good (identity, epoch, timeline), then what was seen (base); within a page also the snapshot
-- that the page reads up to, the last seq delivered, and the seq up to which transactions are split. Opaque to callers.
create function pgstate._feed_place(p_actor pgstate._actor) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_identity text := current_setting('pgstate.identity', true);
begin
  if pg_is_in_recovery() then
    raise exception using errcode = 'PS022', message = 'the feed is not served on a standby',
      hint = 'A standby does not know which transactions are under way. Read the feed from the primary.';
  end if;
  -- looked at once per session, as in _enter_write()
  if v_identity is null or v_identity <> p_actor.identity then
    v_identity := pgstate._identity();
    if v_identity <> p_actor.identity or pgstate._restored() then
      raise exception using errcode = 'PS022', message = 'this database was restored and nothing has been written since',
        hint = 'The first write, or pgstate migrate, begins a new epoch; then list again and go on from a new cursor.';
    end if;
    if not pgstate._promoted() then
      perform set_config('pgstate.identity', v_identity, false);
    end if;
  end if;
  -- as _timeline(), which takes longer
  return v_identity || '.' || p_actor.epoch || '.' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
end
$$;
comment on function pgstate._feed_place(pgstate._actor) is 'Internal: where cursors of this feed are good.';
