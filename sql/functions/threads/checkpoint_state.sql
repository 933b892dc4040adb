create function pgstate.checkpoint_state(key text, id text default null, ns text default '', agent text default null) returns setof pgstate.channel_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(checkpoint_state.agent, checkpoint_state.key, false);
begin
  if checkpoint_state.key is null or not pgstate._key_ok(checkpoint_state.key) then
    perform pgstate._bad_key(checkpoint_state.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return query select s.* from pgstate._checkpoint_state(checkpoint_state.key, checkpoint_state.id, coalesce(checkpoint_state.ns, '')) s;
end
$$;
comment on function pgstate.checkpoint_state(text, text, text, text) is
  'The channels of a checkpoint, the latest of the namespace unless an id is given: the value of each where it is JSON, else null and its serializer''s type. No rows when there is no such checkpoint. PS001 PS010.';
