create function pgstate.expire() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_login();
  perform pgstate._record_point();
  perform pgstate._expire(5000);
end
$$;
comment on function pgstate.expire() is 'Writes the expiry versions that are due, 5000 at most, and records what the feed is at, so that a time can be named later; every connected client calls it each second. Expired entries are invisible to reads without it.';
