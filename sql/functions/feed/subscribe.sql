create function pgstate.subscribe(agents text[], patterns text[], channel text default null) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_names text[] := array(select distinct n from unnest(subscribe.agents) n);
begin
  if coalesce(cardinality(subscribe.agents), 0) = 0 or cardinality(subscribe.agents) <> coalesce(cardinality(subscribe.patterns), 0) then
    raise exception using errcode = 'PS007', message = 'agents and patterns must be arrays of equal length, at least 1';
  elsif subscribe.channel !~ '^pgstate_[0-9a-f]{32}$' then
    raise exception using errcode = 'PS007', message = 'not a channel that subscribe() returned';
  elsif pg_is_in_recovery() then
    -- nothing can be registered there, and there is nothing to be woken for: see _feed_place()
    raise exception using errcode = 'PS022', message = 'the feed is not served on a standby', hint = 'Watch on the primary.';
  end if;
  perform pgstate._enter_for(v_names);
  return pgstate._subscribe(subscribe.agents, subscribe.patterns, subscribe.channel);
end
$$;
comment on function pgstate.subscribe(text[], text[], text) is
  'Registers for wake-ups: returns the channel to LISTEN on. agents and patterns side by side. Register again within 90 seconds, with the channel. PS002 PS007 PS010 PS022.';
