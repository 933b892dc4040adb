create function pgstate._run_steps(p_key text) returns setof pgstate.step_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  return query
    select s.id::text, s.name::text, s.kind, s.state, s.position, case when s.type = 'json' then pgstate._json_of(s.data) end,
           case s.type when 'error' then pgstate._text_of(s.data) when 'timeout' then 'no signal in time' end,
           s.attempts, s.started_at, s.finished_at, s.due_at, s.token
      from pgstate.run r join pgstate.entry e on e.key = r.key join pgstate.step s on s.run_id = r.id
     where r.key = p_key and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now())
     order by s.position, s.finished_at, s.id;
end
$$;
comment on function pgstate._run_steps(text) is 'Internal: the steps of a run.';
