-- End of a write, in one query: stores the lane's outcome and whom to wake, and tells whether there is anybody. The keys are
-- those that were written, not those that were tried: the answer goes to the writer. Null when it was not asked (keys null).
--
-- p_alone: they are notified here, and the answer is null, if nobody else in the cluster is writing: the lock that NOTIFY
-- holds while its transaction commits is in nobody's way then.
create function pgstate._finish(p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[], p_alone boolean, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[];
begin
  with watching as materialized (
    select array_agg(w.channel) as channels
      from pgstate.watcher w
     -- as in _wake(): a registration that was kept locked has outlasted a revocation
     where p_keys is not null and w.expires_at > p_now and (w.ranges + '{}') @> any (p_keys)
       and exists (select from pgstate.reach r
                    where r.agent_id = any (w.agent_ids)
                      and case when cardinality(p_keys) = 1 then r.reads @> p_keys[1] else (w.ranges * r.reads) @> any (p_keys) end)
  ), kept as (
    update pgstate.lane l
       set turn = p_turn, outcome = p_outcome, at = p_now,
           -- few: the row is written with every statement
           channels = case when cardinality(w.channels) <= 8 then w.channels end
      from watching w where l.lane = p_lane
  )
  select w.channels into v_channels from watching w;
  -- nobody older than this transaction, and nobody younger who is done; one who is younger and under way sees this one
  if p_alone and v_channels is not null
     and pg_current_snapshot()::text = pg_current_xact_id() || ':' || pg_current_xact_id() || ':' and pgstate._notify(v_channels) then
    return null;
  end if;
  return case when p_keys is not null then v_channels is not null end;
end
$$;
comment on function pgstate._finish(uuid, bigint, jsonb, text[], boolean, timestamptz) is 'Internal: stores a lane''s outcome; does anybody watch what was written?';
