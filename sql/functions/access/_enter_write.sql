-- Start of every writing function: _enter(), and where a lane is given, its lock, before anything else is locked. kept is
-- the outcome when this turn of the lane was done before. Two more things must hold before a version row is written: its
-- xid belongs to the epoch that it is stamped with, and its commit is flushed before it is visible (cursors are clipped to
-- the highest visible xid, which a crash must not be able to hand out again).
create function pgstate._enter_write(p_agent text, p_lane uuid default null, p_turn bigint default null, p_key text default null)
returns pgstate._actor
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_done text;
  v_named boolean;
begin
  -- the login's own agent and a lane that goes on as it should, in one query: as in _enter() and _lane_begin()
  if p_lane is null then
    -- setting up the join costs a twentieth of a save, though nothing is looked for
    select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
           case when p_key is null then l.writes end, case when i.table_oid = i.tableoid then i.identity end, l.reads @> p_key, l.writes @> p_key,
           true, null, i.policies, null, l.quota, l.trust into v_actor
      from pgstate.login l cross join pgstate.install i
     where l.login = session_user and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
       and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '')
       and l.folded_until is null;
  else
    select l.agent_id, l.agent_name, i.epoch, i.value_limit, case when p_key is null then l.reads end,
           case when p_key is null then l.writes end, case when i.table_oid = i.tableoid then i.identity end, l.reads @> p_key, l.writes @> p_key,
           n.agent_id = l.agent_id and p_turn > n.turn, null, i.policies, null, l.quota, l.trust into v_actor
      from pgstate.login l cross join pgstate.install i
      left join lateral (select x.agent_id, x.turn from pgstate.lane x where x.lane = p_lane for update) n on true
     where l.login = session_user and l.agent_id is not null and coalesce(p_agent, '') in ('', l.agent_name)
       and (not (l.gateway or l.root) or coalesce(current_setting('pgstate.agent', true), '') = '')
       and l.folded_until is null;
  end if;
  if v_actor.id is null then
    -- a gateway names its agent: as in _reachable_through()
    select d.agent_id, d.agent_name, i.epoch, i.value_limit, case when p_key is null then d.reads end, case when p_key is null then d.writes end,
           case when i.table_oid = i.tableoid then i.identity end, d.reads @> p_key, d.writes @> p_key,
           p_lane is null or n.agent_id = d.agent_id and p_turn > n.turn, null, i.policies, null, d.quota, d.trust into v_actor
      from pgstate.login l cross join pgstate.install i
      cross join lateral (select x.* from pgstate.delegation x
                           where x.login = session_user and x.folded_until is null
                             and x.agent_name = coalesce(nullif(p_agent, ''), current_setting('pgstate.agent', true)) offset 0) d
      left join lateral (select x.agent_id, x.turn from pgstate.lane x where x.lane = p_lane for update) n on true
     where l.login = session_user and l.gateway and not l.tickets;
    v_named := v_actor.id is not null;
  end if;
  if v_named then
    if concat(current_setting('pgstate.call_agent', true), '/', current_setting('pgstate.call_agents', true)) <> concat(p_agent, '/') then
      v_done := set_config('pgstate.call_agent', coalesce(p_agent, ''), true) || set_config('pgstate.call_agents', '', true);
    end if;
  end if;
  if v_actor.lane_ready is not true
     or v_named is not true and concat(current_setting('pgstate.call_agent', true), current_setting('pgstate.call_agents', true)) <> '' then
    v_actor := pgstate._enter(p_agent, p_key);
    if v_actor.lane_ready is not true then
      v_actor.identity := null;
    end if;
    if p_lane is not null then
      v_actor.kept := pgstate._lane_begin(v_actor, p_lane, p_turn);
    end if;
  end if;
  -- the setting saves a look at the control file, and a restore in place is seen without it: whoever sets it cannot hide that
  if (v_actor.identity = current_setting('pgstate.identity', true) and current_setting('synchronous_commit') <> 'off'
      and current_setting('transaction_isolation') = 'read committed') is not true then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_rights_seen(v_actor.id);
    end if;
    perform pgstate._settle_identity();
    select i.epoch, i.identity into v_actor.epoch, v_actor.identity from pgstate.install i;
    if current_setting('synchronous_commit') = 'off' then
      v_done := set_config('synchronous_commit', 'on', true);
    end if;
  end if;
  if v_actor.quota then
    -- what is written is counted then
    v_done := set_config('pgstate.quota', 'on', true);
  end if;
  return v_actor;
end
$$;
comment on function pgstate._enter_write(text, uuid, bigint, text) is 'Internal: _enter() for writers; locks the lane, settles the epoch and synchronous_commit.';
