create function pgstate.channel_history(
  key text, channels text[], id text default null, ns text default '', agent text default null
) returns pgstate.channel_history
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(channel_history.agent, channel_history.key, false);
begin
  if channel_history.key is null or not pgstate._key_ok(channel_history.key) then
    perform pgstate._bad_key(channel_history.key);
  elsif v_actor.readable is not true then
    perform pgstate._deny();
  end if;
  return pgstate._channel_history(channel_history.key, channel_history.channels, channel_history.id, channel_history.ns);
end
$$;
comment on function pgstate.channel_history(text, text[], text, text, text) is
  'What channels are made of that a checkpoint (the latest, unless an id is given) does not hold itself: going up its parents, the first value of each, with the chunks that these reach, and the writes to it that came after that one and later ones, the oldest first. A channel that nobody has a value of has no seed, and all writes to it. PS001 PS010.';
