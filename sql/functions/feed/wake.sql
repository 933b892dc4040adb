create function pgstate.wake(keys text[], agent text default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(wake.agent);
begin
  -- keys that the caller cannot have written are passed over: that somebody was woken can be seen
  perform pgstate._wake(wake.keys, v_actor.writes);
end
$$;
comment on function pgstate.wake(text[], text) is 'Wakes the watchers of these keys; for clients that wrote with wake off. A hint: watchers poll as well.';
