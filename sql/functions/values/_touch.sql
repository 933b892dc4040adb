-- The version row of an entry follows: how long it was to live is what readers of the past go by, and it lived on. Nothing of the
-- past becomes otherwise: a moment before is one at which the entry was there already. As the owner, who alone may.
--
-- The entries are locked first, in key order. Who may, what has expired and what it is now is decided after that: what was
-- waited for may have changed it, and what somebody has seen expire does not come back.
create function pgstate._touch(p_agent text, p_keys text[], p_lives interval[]) returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_actor pgstate._actor := pgstate._enter(p_agent);
  v_keys text[];
  v_lives interval[];
  v_now timestamptz;
  v_count int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(v_actor.id);
  end if;
  with input as materialized (
    select u.key, min(u.lives) as lives
      from unnest(p_keys, p_lives) as u (key, lives)
     where (select v_actor.reads + '{}') @> u.key and (select v_actor.writes + '{}') @> u.key
     group by u.key
  ), locked as materialized (
    select e.key, i.lives
      from (select i.key, i.lives from input i order by i.key collate "C") i
      join pgstate.entry e on e.key = i.key
     where e.value is not null and e.expires_at is not null
     for update of e
  )
  select array_agg(l.key), array_agg(l.lives) into v_keys, v_lives from locked l;
  if v_keys is null then
    return 0;
  end if;
  v_actor := pgstate._enter(p_agent);
  v_now := pgstate._now();
  with lasting as materialized (
    select e.key, e.version, coalesce((v.meta ->> 'ttl')::interval, v.expires_at - v.at) as ttl, u.lives
      from unnest(v_keys, v_lives) as u (key, lives)
      join pgstate.entry e on e.key = u.key and e.value is not null and e.expires_at > v_now
      join pgstate.version v on v.key = e.key and v.version = e.version and v.expires_at > v.at
     where (select v_actor.reads + '{}') @> u.key and (select v_actor.writes + '{}') @> u.key
  ), recorded as (
    update pgstate.version v
       set expires_at = v_now + least(l.ttl, l.lives), meta = coalesce(v.meta, '{}') || jsonb_build_object('ttl', l.ttl)
      from lasting l where v.key = l.key and v.version = l.version
  ), kept as (
    update pgstate.entry e set expires_at = v_now + least(l.ttl, l.lives) from lasting l where e.key = l.key returning e.key
  )
  select count(*) into v_count from kept;
  return v_count;
end
$$;
comment on function pgstate._touch(text, text[], interval[]) is 'Internal: touch().';
