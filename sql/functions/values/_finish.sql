-- End of a write, in one query: stores the lane's outcome, and tells whether there is anybody to wake. The keys are those
-- that were written, not those that were tried: the answer goes to the writer. Null when it was not asked (keys null).
create function pgstate._finish(p_lane uuid, p_turn bigint, p_outcome jsonb, p_keys text[]) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_watched boolean;
begin
  with kept as (
    update pgstate.lane l set turn = p_turn, outcome = p_outcome, at = pgstate._now() where l.lane = p_lane
  )
  select case when p_keys is not null then exists (
           select from pgstate.watcher w
            where w.expires_at > pgstate._now() and exists (select from unnest(p_keys) k where w.ranges @> k)) end into v_watched;
  return v_watched;
end
$$;
comment on function pgstate._finish(uuid, bigint, jsonb, text[]) is 'Internal: stores a lane''s outcome; does anybody watch what was written?';
