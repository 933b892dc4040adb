-- The version row of an entry follows: how long it was to live is what readers of the past go by, and it lived on. Nothing of the
-- past becomes otherwise: a moment before is one at which the entry was there already. As the owner, who alone may.
create function pgstate._touch(p_actor pgstate._actor, p_keys text[]) returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_count int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform pgstate._check_rights_seen(p_actor.id);
  end if;
  with input as materialized (
    select distinct u.key from unnest(p_keys) as u (key) where (select p_actor.reads + '{}') @> u.key and (select p_actor.writes + '{}') @> u.key
  ), locked as materialized (
    select e.key, e.version
      from (select i.key from input i order by i.key collate "C") i
      join pgstate.entry e on e.key = i.key
     where e.value is not null and e.expires_at > v_now
     for update of e
  ), lasting as materialized (
    select l.key, l.version, coalesce((v.meta ->> 'ttl')::interval, v.expires_at - v.at) as ttl
      from locked l join pgstate.version v on v.key = l.key and v.version = l.version
     where v.expires_at > v.at
  ), recorded as (
    update pgstate.version v
       set expires_at = v_now + l.ttl, meta = coalesce(v.meta, '{}') || jsonb_build_object('ttl', l.ttl)
      from lasting l where v.key = l.key and v.version = l.version
  ), kept as (
    update pgstate.entry e set expires_at = v_now + l.ttl from lasting l where e.key = l.key and e.version = l.version returning e.key
  )
  select count(*) into v_count from kept;
  return v_count;
end
$$;
comment on function pgstate._touch(pgstate._actor, text[]) is 'Internal: touch().';
