-- Writes the expiry version of entries whose time has come; they were invisible since. Any client may ask: which keys
-- there were is told to nobody. As the owner, because expiry must not depend on anybody's grants.
create function pgstate._expire(p_limit int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_now timestamptz := pgstate._now();
  v_keys text[];
  v_threads text[];
begin
  -- callers' idempotency keys are kept for a week; those that somebody removes in an open transaction are not waited for
  delete from pgstate.op o
   where o.ctid = any (array(select x.ctid from pgstate.op x where x.at < v_now - interval '7 days' for update skip locked));
  v_keys := array(
    select e.key from pgstate.entry e
     where e.live and e.expires_at <= v_now
     order by e.expires_at limit p_limit for update skip locked);
  -- a thread that somebody has locked, to fork it or to add writes, expires with the next call: nobody waits for that here
  v_threads := array(select t.key from pgstate.thread t where t.key = any (v_keys) for update skip locked);
  v_keys := array(
    select k from unnest(v_keys) k
     where k = any (v_threads) or not exists (select from pgstate.thread t where t.key = k));
  if cardinality(v_keys) = 0 then
    return;
  end if;
  -- as in _enter_write()
  perform pgstate._settle_identity();
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  update pgstate.entry e
     set version = e.version + 1, live = false, value = null, writer = 'pgstate', via = session_user, updated_at = v_now, expires_at = null,
         full_version = null
   where e.key = any (v_keys);
  insert into pgstate.version (key, version, epoch, op, writer, via, at, trust)
  select e.key, e.version, i.epoch, 'expire', 'pgstate', session_user, v_now, e.trust
    from pgstate.entry e cross join pgstate.install i where e.key = any (v_keys) order by e.key;
  delete from pgstate.claim c where c.key = any (v_keys);
  perform pgstate._detach_threads(v_keys);
end
$$;
comment on function pgstate._expire(int) is 'Internal: writes expiry versions.';
