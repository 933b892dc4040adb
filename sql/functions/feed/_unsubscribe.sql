create function pgstate._unsubscribe(p_channel text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  delete from pgstate.watcher w where w.channel = p_channel and w.login = session_user::text;
end
$$;
comment on function pgstate._unsubscribe(text) is 'Internal: removes a registration.';
