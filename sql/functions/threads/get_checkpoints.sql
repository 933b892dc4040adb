create function pgstate.get_checkpoints(key text, ids text[], ns text default '', agent text default null) returns setof pgstate.checkpoint_full
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(get_checkpoints.agent, get_checkpoints.key, false);
begin
  if get_checkpoints.key is null or not pgstate._key_ok(get_checkpoints.key) then
    perform pgstate._bad_key(get_checkpoints.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return query select c.* from pgstate._get_checkpoints(get_checkpoints.key, coalesce(get_checkpoints.ids, '{}'), get_checkpoints.ns) c;
end
$$;
comment on function pgstate.get_checkpoints(text, text[], text, text) is 'get_checkpoint() for several of a namespace: those that are there, in no order. PS001 PS010.';
