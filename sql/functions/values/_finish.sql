-- End of a write: stores the lane's outcome and whom to wake, and tells whether there is anybody. The keys are those that were
-- written, not those that were tried: the answer goes to the writer. Null when it was not asked (keys null).
--
-- p_alone: they are notified here, and the answer is null, if nobody else in the cluster is writing: the lock that NOTIFY
-- holds while its transaction commits is in nobody's way then.
create function pgstate._finish(p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[], p_alone boolean, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channels text[];
begin
  -- setting up the search takes longer than finding that there is nobody at all
  if p_keys is not null and exists (select from pgstate.watcher) then
    v_channels := pgstate._watching(p_keys, p_now);
  end if;
  if p_lane is not null then
    update pgstate.lane l
       set turn = p_turn, outcome = p_outcome, at = p_now,
           -- few: the row is written with every statement
           channels = case when cardinality(v_channels) <= 8 then v_channels end
     where l.lane = p_lane;
  end if;
  -- nobody older than this transaction, and nobody younger who is done; one who is younger and under way sees this one
  if v_channels is not null and p_alone
     and pg_current_snapshot()::text = pg_current_xact_id() || ':' || pg_current_xact_id() || ':' and pgstate._notify(v_channels) then
    return null;
  end if;
  return case when p_keys is not null then v_channels is not null end;
end
$$;
comment on function pgstate._finish(uuid, bigint, jsonb, text[], boolean, timestamptz) is 'Internal: stores a lane''s outcome; does anybody watch what was written?';
