create function pgstate._quotas(p_actor pgstate._actor) returns setof pgstate.quota_row
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return query
    select a.name, q.entries, q.bytes, q.writes_per_minute, (u.used).entries, (u.used).bytes, (u.used).writes, q.set_by, q.set_at
      from pgstate.quota q join pgstate.agent a on a.id = q.agent_id cross join lateral (select pgstate._usage_of(q.agent_id) as used offset 0) u
     where a.id = p_actor.id or (select r.admins @> pgstate._pattern_ranges('**') from pgstate._reach r where r.agent_id = p_actor.id)
     order by a.name;
end
$$;
comment on function pgstate._quotas(pgstate._actor) is 'Internal: quotas that the caller may see.';
