-- A write happens once, for lanes: the row is locked before anything else, so that a statement sent again waits for the
-- first one, whose reply was lost. Returns the stored outcome when this turn was done, else null.
create function pgstate._lane_begin(p_actor pgstate._actor, p_lane uuid, p_turn bigint) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_lane record;
begin
  for v_try in 1 .. 3 loop
    select l.agent_id, l.turn, l.outcome into v_lane from pgstate.lane l where l.lane = p_lane for update;
    exit when found;
    -- the agent's own that were last used a day ago have no statement left to send again; all are looked at for it, so not each
    -- time. Not those of others: who keeps its transaction open would hold up their next writes
    if random() < 0.05 then
      -- locked ones are in use, and nobody may be held up by who keeps one so
      delete from pgstate.lane l
       where l.lane in (select x.lane from pgstate.lane x where x.agent_id = p_actor.id and x.at < pgstate._now() - interval '1 day' for update skip locked);
    end if;
    insert into pgstate.lane (lane, agent_id, turn) values (p_lane, p_actor.id, 0) on conflict do nothing;
    if found and p_actor.quota then
      perform pgstate._charge(1);
    end if;
  end loop;
  if v_lane.agent_id <> p_actor.id or p_turn is null or p_turn < greatest(v_lane.turn, 1) then
    raise exception using errcode = 'PS031', message = 'lane out of step',
      hint = 'A lane belongs to one agent, has one statement in flight, and its turns rise from 1.';
  end if;
  return case when p_turn = v_lane.turn then v_lane.outcome end;
end
$$;
comment on function pgstate._lane_begin(pgstate._actor, uuid, bigint) is 'Internal: locks a lane; the stored outcome when this turn was done before.';
