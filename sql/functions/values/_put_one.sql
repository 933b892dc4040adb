-- _put_existing() for one row, in plain statements: the most frequent write costs a third less than by way of the set-based
-- form. Returns null when it is not for the short way. The claim is looked at by the statement that records the version,
-- after the entry is locked.
create function pgstate._put_one(
  p_actor pgstate._actor, p_key text, p_value jsonb, p_expect bigint, p_ttl interval, p_priority int, p_not_before timestamptz
) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_version bigint;
  v_at timestamptz;
  v_expires_at timestamptz;
begin
  if (p_actor.writes @> p_key and (p_expect is null or p_expect > 0 and p_actor.reads @> p_key)
      and pg_column_size(p_value) <= p_actor.value_limit and (p_ttl is null or pgstate._span_ok(p_ttl))
      and (p_not_before is null or p_not_before between '1970-01-01' and '9999-12-01')) is not true then
    return null;
  end if;
  begin
    update pgstate.entry e
       set version = e.version + 1, value = p_value, writer = p_actor.name, via = session_user, updated_at = pgstate._now(),
           expires_at = case when p_ttl is not null then pgstate._now() + p_ttl end, priority = coalesce(p_priority, e.priority),
           not_before = coalesce(p_not_before, e.not_before)
     where e.key = p_key and e.value is not null and e.kind = 'value' and (e.expires_at is null or e.expires_at > pgstate._now())
       and (p_expect is null or e.version = p_expect)
    returning e.version, e.updated_at, e.expires_at into v_version, v_at, v_expires_at;
    if v_version is null then
      return null;
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
      perform pgstate._check_claims_seen(array[p_key]);
    end if;
    insert into pgstate.version (key, version, epoch, op, value, writer, via, at, expires_at)
    select p_key, v_version, p_actor.epoch, 'put', p_value, p_actor.name, session_user, v_at, v_expires_at
     where not exists (select from pgstate.claim c where c.key = p_key and c.lease_until > pgstate._now());
    if not found or pgstate._now() > v_at + interval '50 ms' then
      raise exception using errcode = 'PS998';
    end if;
  exception when sqlstate 'PS998' then
    return null;
  end;
  return v_version;
end
$$;
comment on function pgstate._put_one(pgstate._actor, text, jsonb, bigint, interval, int, timestamptz) is
  'Internal: a put on an existing, unclaimed key.';
