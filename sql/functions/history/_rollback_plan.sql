-- What a rollback would do: a row for each key that is not what it was, in key order; in force it also tells of a key that is.
-- One snapshot, STABLE. p_version: of the one key that p_ranges hold, instead of p_moment.
--
-- A value that has an end gets the same end again. One whose end has passed is not brought back by a past state, in which it
-- was there for a time; by its number it is, without an end. One without an end gets that of its policy, as any put does.
create function pgstate._rollback_plan(
  p_actor pgstate._actor, p_ranges pgstate.keymultirange, p_regex text, p_version bigint, p_moment pgstate._moment, p_writer text,
  p_force boolean, p_all boolean
) returns setof pgstate.rolled_back
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
begin
  return query
    with span as materialized (
      select r.low, r.high from pgstate._spans(p_ranges) r
    ), found as (
      select e.key, e.version, e.value is not null and (e.expires_at is null or e.expires_at > v_now) as live,
             case when e.full_version < e.version then pgstate._grown(e.key, e.value, e.full_version, e.version) else e.value end as value, e.expires_at,
             coalesce(p.version, 0) as past_version,
             p.value is not null and (p_version is not null
               or p.expires_at is null or p.expires_at > p_moment.at and p.expires_at > v_now) as past_live,
             case when p.reducer is null then p.value else pgstate._value_at(p.key, p.version) end as past_value, case when p.expires_at > v_now then p.expires_at end as past_expires_at
        from span
        cross join lateral (
          select x.* from pgstate.entry x
           where x.key >= span.low and x.key < span.high and x.kind = 'value' and x.version > 0 and (p_regex is null or x.key ~ p_regex)
           order by x.key) e
        left join lateral (
          select t.* from pgstate._then(e.key, e.version, p_moment.epoch, p_moment.base, p_moment.upto, p_moment.after, p_moment.seq) t
           where p_version is null
          union all
          select v.* from pgstate.version v where p_version is not null and v.key = e.key and v.version = p_version
        ) p on true
    ), compared as (
      select f.*,
             case when not f.live and not f.past_live then 'none'
                  when not f.past_live then 'delete'
                  when not f.live or f.value <> f.past_value
                       -- it was set anew, a moment later than it was set then
                       or coalesce(abs(extract(epoch from f.expires_at - f.past_expires_at)) > 1,
                                   f.expires_at is not null and f.ttl is null or f.past_expires_at is not null) then 'put'
                  else 'none' end as action
        from (select x.*, case when p_actor.policies and x.past_live and x.past_expires_at is null then (pgstate._policy_of(x.key)).ttl end as ttl
                from found x where p_all or x.version <> x.past_version offset 0) f
    )
    select c.key,
           case when not p_actor.writes @> c.key then 'denied'
                when p_writer is not null and not p_force and exists (
                  select from pgstate.version v
                   where v.key = c.key and v.version > c.past_version and v.writer not in (p_writer, 'pgstate')
                     -- quarantine() has only lowered its trust
                     and (v.meta ? 'quarantined' and v.meta ->> 'writer' = p_writer) is not true) then 'conflict'
                when k.lease_until > v_now and not (p_actor.policies and pgstate._claimed_writes(c.key)) then 'held'
                else 'ok' end,
           c.action, null::bigint, case when c.live then c.version else 0 end, case when c.past_live then c.past_version else 0 end,
           case when c.live then c.value end, case when c.past_live then c.past_value end,
           case when not c.past_live then null when c.ttl is null then c.past_expires_at when c.action = 'put' then v_now + c.ttl else c.expires_at end,
           null::boolean
      from compared c
      -- a join: of an EXISTS the planner may make a hash of all claims
      left join pgstate.claim k on k.key = c.key
     where (p_all or c.action <> 'none')
       and (p_writer is null or exists (
              select from pgstate.version v where v.key = c.key and v.version > c.past_version and v.writer = p_writer));
end
$$;
comment on function pgstate._rollback_plan(pgstate._actor, pgstate.keymultirange, text, bigint, pgstate._moment, text, boolean, boolean) is
  'Internal: what a rollback would change.';
