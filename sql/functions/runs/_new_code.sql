-- Another version of the code goes on with a run: what was done keeps its name and occurrence, and its order means nothing.
create function pgstate._new_code(p_key text, p_code text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
  update pgstate.step s set position = null from pgstate.run r where r.key = p_key and s.run_id = r.id;
  update pgstate.run r set code = p_code where r.key = p_key;
end
$$;
comment on function pgstate._new_code(text, text) is 'Internal: a run goes on with another version of the code.';
