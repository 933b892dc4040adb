create function pgstate._run_of(p_key text) returns pgstate.run
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_run pgstate.run;
begin
  select r.* into v_run from pgstate.run r where r.key = p_key;
  return v_run;
end
$$;
comment on function pgstate._run_of(text) is 'Internal: the run of a key.';
