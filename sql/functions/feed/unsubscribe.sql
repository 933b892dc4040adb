create function pgstate.unsubscribe(channel text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._unsubscribe(unsubscribe.channel);
end
$$;
comment on function pgstate.unsubscribe(text) is 'Removes a registration of this login.';
