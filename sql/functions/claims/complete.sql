create function pgstate.complete(key text, token bigint, op_id text default null, agent text default null) returns pgstate.written
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return pgstate._written(pgstate.write_one('complete', complete.key, token => complete.token, op_id => complete.op_id,
    agent => complete.agent), complete.key);
end
$$;
comment on function pgstate.complete(text, bigint, text, text) is 'Finishes claimed work: removes the entry with op complete, if the token is the current claim''s: status ok, stale or missing. PS001 PS007 PS010.';
