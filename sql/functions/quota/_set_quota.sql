create function pgstate._set_quota(p_agent text, p_entries bigint, p_bytes bigint, p_writes int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_on boolean := num_nonnulls(p_entries, p_bytes, p_writes) > 0;
  v_part bigint;
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_agent);
  if p_entries < 0 or p_bytes < 0 or p_writes < 0 then
    raise exception using errcode = 'PS007', message = 'a quota is 0 or more, or null for no limit';
  end if;
  perform from pgstate.agent a where a.id = v_id for no key update;
  if v_on then
    insert into pgstate.quota (agent_id, entries, bytes, writes_per_minute, set_by, set_at)
    values (v_id, p_entries, p_bytes, p_writes, v_actor.name, pgstate._now())
        on conflict on constraint quota_pkey do update
       set entries = excluded.entries, bytes = excluded.bytes, writes_per_minute = excluded.writes_per_minute, set_by = excluded.set_by, set_at = excluded.set_at;
    insert into pgstate.usage (agent_id) values (v_id) returning id into v_part;
    perform pgstate._count_usage(v_id, v_part);
  else
    delete from pgstate.quota q where q.agent_id = v_id;
  end if;
  update pgstate.reach r set quota = v_on where r.agent_id = v_id and r.quota <> v_on;
  update pgstate.login l set quota = v_on where l.agent_id = v_id and l.quota <> v_on;
  perform pgstate._audit(v_actor, 'set_quota', null, jsonb_build_object('agent', p_agent, 'entries', p_entries, 'bytes', p_bytes, 'writes_per_minute', p_writes));
end
$$;
comment on function pgstate._set_quota(text, bigint, bigint, int) is 'Internal: sets the quota of an agent.';
