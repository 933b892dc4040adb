create function pgstate._cancel_run(p_key text, p_now timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_run pgstate.run;
begin
  update pgstate.run r set cancel_at = coalesce(r.cancel_at, p_now), asleep = false, awaits = null, ready_at = least(r.ready_at, p_now)
   where r.key = p_key returning r.* into v_run;
  return v_run.name is not null and exists (select from pgstate.step s where s.run_id = v_run.id and s.state <> 'pending');
end
$$;
comment on function pgstate._cancel_run(text, timestamptz) is 'Internal: tells a run to end; may a worker have to undo something first?';
