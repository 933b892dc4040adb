create function pgstate.register_reducer(name text, function regprocedure, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._register_reducer(pgstate._enter(register_reducer.agent), register_reducer.name, register_reducer.function);
end
$$;
comment on function pgstate.register_reducer(text, regprocedure, text) is 'Registers an immutable function (jsonb, jsonb) -> jsonb as a reducer that policies may name: it gets the current value (null for a missing key, unless STRICT: that starts from the operand) and the operand; null or an error means that the operand does not fit. It runs as pgstate_api and only as it was registered: register it again after replacing it. Needs admin on everything. PS007 PS010.';
