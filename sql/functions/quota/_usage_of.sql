create function pgstate._usage_of(p_agent_id int) returns pgstate._used
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_used pgstate._used;
begin
  select coalesce(sum(u.entries), 0), coalesce(sum(u.bytes), 0),
         coalesce(sum(u.writes) filter (where u.minute = date_trunc('minute', pgstate._now(), 'UTC')), 0) into v_used
    from pgstate.usage u where u.agent_id = p_agent_id;
  return v_used;
end
$$;
comment on function pgstate._usage_of(int) is 'Internal: what an agent has used, by its parts.';
