-- The thread of a key, if it is there for readers: one that has expired, or holds writes only, is not.
create function pgstate._live_thread(p_key text) returns pgstate.thread
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_thread pgstate.thread;
begin
  select t.* into v_thread
    from pgstate.thread t join pgstate.entry e on e.key = t.key
   where t.key = p_key and t.begun_at is not null and e.value is not null and (e.expires_at is null or e.expires_at > pgstate._now());
  return v_thread;
end
$$;
comment on function pgstate._live_thread(text) is 'Internal: the thread of a key.';
