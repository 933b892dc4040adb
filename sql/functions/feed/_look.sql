-- The usual case on the way from a write to its watchers, in one query: the login's own agent goes on from a cursor that is
-- good, when nothing was under way at it and nothing is now, and little has happened since. Null in every other case, for
-- which changes_for() asks _enter(), _position() and _window(), one after the other: each of their conditions is here.
create function pgstate._look(p_agent text, p_cursor text, p_cap int) returns pgstate._look
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_seen text := split_part(p_cursor, '.', 5);
  v_top text := split_part(v_seen, ':', 1);
  v_look pgstate._look;
begin
  if v_top = '' or length(v_top) > 18 or translate(v_top, '0123456789', '') <> '' or v_seen <> v_top || ':' || v_top || ':'
     or pg_is_in_recovery() or pg_current_xact_id_if_assigned() is not null then
    return null;
  end if;
  select l.agent_name, l.reads, i.epoch, h.head, v_seen, w.top || ':' || w.top || ':', w.found into v_look
    from pgstate.login l cross join pgstate.install i
    cross join lateral (
      select '1.' || i.identity || '.' || i.epoch || '.' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.' as head) h
    cross join lateral (
      -- clipped, as in _snapshot()
      select count(*) as found, greatest(((max(x.xid)::text)::bigint + 1)::text::xid8, v_top::xid8) as top
        from (select v.xid from pgstate.version v where v.epoch = i.epoch and v.xid >= v_top::xid8 order by v.xid limit p_cap + 1) x) w
   where l.login = session_user::text and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
     and l.folded_until is null
     and coalesce(current_setting('pgstate.call_agents', true), '') || coalesce(current_setting('pgstate.call_agent', true), '')
         || coalesce(current_setting('pgstate.agent', true), '') = ''
     and i.identity = current_setting('pgstate.identity', true) and (i.horizon is null or i.horizon_epoch < i.epoch or i.horizon < v_top::xid8)
     and p_cursor = h.head || v_seen and w.found <= p_cap and w.top <= pg_snapshot_xmin(pg_current_snapshot());
  return v_look;
end
$$;
comment on function pgstate._look(text, text, int) is 'Internal: what a page of the feed needs to know when little has happened, or null.';
