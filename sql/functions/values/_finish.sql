-- End of a write, in one query: stores the lane's outcome and whom to wake, and tells whether there is anybody. The keys are
-- those that were written, not those that were tried: the answer goes to the writer. Null when it was not asked (keys null).
create function pgstate._finish(p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_watched boolean;
begin
  with watching as materialized (
    select array_agg(w.channel) as channels
      from pgstate.watcher w
     where p_keys is not null and w.expires_at > pgstate._now()
       -- as in _wake(): a registration that was kept locked has outlasted a revocation
       and exists (select from unnest(p_keys) k
                    where w.ranges @> k
                      and exists (select from pgstate.reach r where r.agent_id = any (w.agent_ids) and r.reads @> k))
  ), kept as (
    update pgstate.lane l
       set turn = p_turn, outcome = p_outcome, at = pgstate._now(),
           -- few: the row is written with every statement
           channels = case when cardinality(w.channels) <= 8 then w.channels end
      from watching w where l.lane = p_lane
  )
  select case when p_keys is not null then w.channels is not null end into v_watched from watching w;
  return v_watched;
end
$$;
comment on function pgstate._finish(uuid, bigint, jsonb, text[]) is 'Internal: stores a lane''s outcome; does anybody watch what was written?';
