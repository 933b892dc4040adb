-- agents and patterns side by side. Returns the channel to LISTEN on; called again with it, the registration is replaced
-- and lives for another 90 seconds, or until the next grant of one of the agents ends.
create function pgstate._subscribe(p_agents text[], p_patterns text[], p_channel text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_channel text := p_channel;
  v_ranges pgstate.keymultirange;
  v_ids int[] := pgstate._acting_ids();
begin
  select coalesce(range_agg(u), '{}') into v_ranges
    from unnest(p_agents, p_patterns) s (name, pattern)
    join pgstate.agent a on a.name = split_part(s.name, '/', 1) and a.id = any (v_ids)
    cross join lateral (select * from pgstate._reach x where x.agent_id = a.id offset 0) r
    cross join lateral unnest(pgstate._patterns_ranges(array[s.pattern]) * r.reads) u;
  if (select count(*) from unnest(v_ranges)) > 256 then
    -- woken for more than is watched, and less is looked through in every write: what may be read is looked at there
    v_ranges := multirange(range_merge(v_ranges));
  end if;
  -- every write goes through all of them. One that was forgotten comes back under its channel: it counts as a new one
  if not exists (select from pgstate.watcher w where w.channel = v_channel)
     and (select count(*) from pgstate.watcher w where w.login = session_user::text) >= 500 then
    raise exception using errcode = 'PS007', message = 'this login has 500 registrations: one per process is enough';
  end if;
  v_channel := coalesce(v_channel, 'pgstate_' || replace(gen_random_uuid()::text, '-', ''));
  insert into pgstate.watcher as w (channel, login, agent_ids, ranges, expires_at)
  values (v_channel, session_user, v_ids, v_ranges,
          least(pgstate._now() + interval '90 s', (select min(r.folded_until) from pgstate._reach r where r.agent_id = any (v_ids))))
      on conflict on constraint watcher_pkey do update
     set agent_ids = excluded.agent_ids, ranges = excluded.ranges, expires_at = excluded.expires_at
   where w.login = excluded.login;
  if not found then
    perform pgstate._deny();
  end if;
  -- locked ones belong to somebody who does the same
  delete from pgstate.watcher w
   where w.channel in (select x.channel from pgstate.watcher x where x.expires_at < pgstate._now() - interval '60 s' for update skip locked);
  return v_channel;
end
$$;
comment on function pgstate._subscribe(text[], text[], text) is 'Internal: registers a channel.';
