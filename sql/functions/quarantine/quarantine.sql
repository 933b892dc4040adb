-- In one transaction, in the order that an attack is answered in: nobody acts as the agent, its claims end, what it wrote is undone or
-- at least not trusted, and what remains to be looked at is named. What it keeps locked is told, and holds nothing of this up; nor does
-- how much it wrote: what is over the limit is left, and told. What was under way when this began is told even if it is over by the end,
-- since statements before may not have seen what it wrote.
create function pgstate.quarantine(
  agent text, since timestamptz default null, cursor text default null, rollback boolean default false, force boolean default false,
  dry_run boolean default false, after text default null, "limit" int default 100000
) returns setof pgstate.quarantined
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(null);
  v_id int;
  v_moment pgstate._moment;
  v_suspended_at timestamptz;
  v_claimed text[];
  v_open pgstate.open_transaction[];
  v_keys text[];
  v_versions bigint[];
  v_more text;
  v_ranges pgstate.keymultirange;
  v_rows pgstate.rolled_back[] := '{}';
  v_failed boolean := false;
  v_refused jsonb;
  v_spared text[] := '{}';
begin
  perform pgstate._check_admin(v_actor, '**');
  if num_nonnulls(quarantine.since, quarantine.cursor) <> 1 then
    raise exception using errcode = 'PS007', message = 'since when: give a time (since), or a cursor';
  elsif quarantine.rollback is null or quarantine.force is null or quarantine.dry_run is null then
    raise exception using errcode = 'PS007', message = 'rollback, force and dry_run are true or false';
  elsif quarantine.force and not quarantine.rollback then
    raise exception using errcode = 'PS007', message = 'force is for a rollback: it undoes what others wrote on top, too';
  elsif quarantine."limit" is null or quarantine."limit" not between 0 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 0 to 100000';
  end if;
  v_id := pgstate._agent_id(quarantine.agent);
  v_suspended_at := pgstate._suspended_at(quarantine.agent);
  -- a later part of one that was begun has no more to do here
  if quarantine.after is null or v_suspended_at is null then
    if quarantine.dry_run then
      v_claimed := pgstate._claimed_by(quarantine.agent);
    else
      v_claimed := pgstate._suspend(v_actor, quarantine.agent);
    end if;
    return next row('suspend', null, case when v_suspended_at is not null then 'there' when quarantine.dry_run then 'to do' else 'ok' end,
                    null, null, null, null, null, null)::pgstate.quarantined;
    return query select 'release', k, case when quarantine.dry_run then 'to do' else 'ok' end, null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
                   from unnest(v_claimed) k order by k collate "C";
    return query select 'release', k, 'locked', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
                   from unnest(pgstate._claimed_by(quarantine.agent)) k where not quarantine.dry_run order by k collate "C";
  end if;
  v_open := array(select t from pgstate._open_transactions(v_id) t);
  -- after the wait for locks
  v_moment := pgstate._moment(v_actor, quarantine.cursor, quarantine.since);

  if quarantine."limit" = 0 then
    v_more := coalesce(quarantine.after, '');
  else
    select array_agg(k.key order by k.key collate "C") filter (where not k.beyond), array_agg(k.version order by k.key collate "C") filter (where not k.beyond),
           case when bool_or(k.beyond) then max(k.key collate "C") filter (where not k.beyond) end
      into v_keys, v_versions, v_more
      from pgstate._keys_since(quarantine.agent, v_moment, coalesce(quarantine.after, ''), quarantine."limit") k;
  end if;

  if quarantine.rollback and v_keys is not null then
    v_actor.reads := v_actor.reads + '{}';
    v_actor.writes := v_actor.writes + '{}';
    v_ranges := (select range_agg(pgstate.keyrange(k, k, '[]')) from unnest(v_keys) k) * v_actor.reads;
    return query
      select 'undo', k, 'denied', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
        from unnest(v_keys) k where not v_actor.reads @> k order by k collate "C";
    begin
      v_rows := pgstate._undo(v_actor, null, v_ranges, null, null, v_moment, quarantine.agent, quarantine.force, quarantine.dry_run, false, true);
    exception
      when lock_not_available then
        v_refused := jsonb_build_object('status', 'locked');
      when sqlstate 'PS004' or sqlstate 'PS006' or sqlstate 'PS008' or sqlstate 'PS009' or sqlstate 'PS060' then
        -- what was there is not allowed by now
        v_refused := jsonb_build_object('status', 'refused', 'detail', jsonb_build_object('error', sqlerrm));
    end;
    if v_refused is not null then
      v_rows := array(
        select row(r.key, case when r.status = 'ok' then v_refused ->> 'status' else r.status end, r.action, null, r.from_version, r.to_version, r.old_value,
                   r.new_value, r.expires_at, null)::pgstate.rolled_back
          from unnest(pgstate._undo(v_actor, null, v_ranges, null, null, v_moment, quarantine.agent, quarantine.force, true, false, true)) r);
    end if;
    -- all or nothing: what is held, or locked, keeps the rest as it is
    v_failed := exists (select from unnest(v_rows) r where r.status in ('held', 'denied', 'locked', 'refused'));
    if quarantine.dry_run and not v_failed then
      -- what would be undone needs no more to be done about it
      v_spared := array(select r.key from unnest(v_rows) r where r.status = 'ok');
    end if;
    return query
      select r.action, r.key, case when not quarantine.dry_run or r.status <> 'ok' then r.status when v_failed then 'skipped' else 'to do' end,
             r.version, r.from_version, r.to_version, r.old_value, r.new_value, case r.status when 'refused' then v_refused -> 'detail' end
        from unnest(v_rows) r where r.action <> 'none';
  end if;

  return query
    select 'distrust', d.key, d.status, d.version, null::bigint, null::bigint, null::jsonb, null::jsonb, jsonb_build_object('from', d.trust)
      from (select array_agg(u.key) as keys, array_agg(u.version) as versions
              from unnest(v_keys, v_versions) as u (key, version) left join unnest(v_spared) s (key) on s.key = u.key where s.key is null) w
     cross join lateral pgstate._distrust(v_actor, quarantine.agent, w.keys, w.versions, quarantine.dry_run) d;
  -- what is left is told once, with the last part
  if v_more is null then
    return query
      with written as materialized (
        select case when w.writer = quarantine.agent then w.kind else 'derived' end as action, w.key, max(w.version) as version, nullif(w.writer, quarantine.agent) as writer
          from pgstate._written_since(quarantine.agent, v_moment) w
         where w.writer <> quarantine.agent or w.kind <> 'value'
         group by w.writer, w.kind, w.key
      ), held as materialized (
        select 'thread' as action, t.key, t.pending_writes from pgstate._threads_since(quarantine.agent, v_moment) t
      )
      select action, key, 'left', w.version, null::bigint, null::bigint, null::jsonb, null::jsonb,
             jsonb_strip_nulls(jsonb_build_object('writer', w.writer, 'pending_writes', h.pending_writes))
        from written w full join held h using (action, key)
       order by key collate "C", action;
  end if;
  return query
    select 'open', null, 'left', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, jsonb_strip_nulls(to_jsonb(t))
      from (select * from unnest(v_open) union select * from pgstate._open_transactions(v_id)) t;
  if v_more is not null then
    return next row('more', v_more, 'left', null, null, null, null, null, null)::pgstate.quarantined;
  end if;
  if quarantine.dry_run then
    return;
  end if;
  -- of this transaction, or of one that has ended after it began, which costs no more than asking again
  if coalesce(v_suspended_at >= pgstate._now() - (clock_timestamp() - transaction_timestamp()), true) or current_setting('transaction_isolation') <> 'read committed' then
    return next row('again', null, 'left', null, null, null, null, null, null)::pgstate.quarantined;
  end if;
  perform pgstate._audit(v_actor, 'quarantine', null, jsonb_build_object(
    'agent', quarantine.agent, 'since', coalesce(to_jsonb(quarantine.since), to_jsonb(quarantine.cursor)), 'rollback', quarantine.rollback,
    'undone', (select count(*) from unnest(v_rows) r where r.status = 'ok')));
end
$$;
comment on function pgstate.quarantine(text, timestamptz, text, boolean, boolean, boolean, text, int) is
  'Answers to an agent that has been taken over; call suspend_agent() before, in a transaction of its own, since what begins before a suspension is committed is not stopped by it. Suspends it if it is not, gives back its claims, and has what it wrote since a time or cursor, and what is still there of that, trusted as external (distrust), or with rollback undoes it (as rollback() with writer: entries that others wrote too are told as conflict and distrusted, unless force). It does so for the keys after after, in their order, at most limit of them (0 to 100000) and 64 MB of values: more says that there are others: call again, after => its key. A row for each thing done (ok), or with dry_run to be done (to do), and for what is left to whoever asks, with the last of them: derived, versions of others that name its writes as sources; thread and run, in which it recorded, and forks that hold checkpoints of its, or writes of tasks (pending_writes, how many). open: transactions of its, of a gateway of its or of the login that installed, that were under way, or are: end them, or wait, and ask again, which does the rest; again: the suspension is not committed yet, or the isolation is not READ COMMITTED, so what the agent did meanwhile was not seen: ask again in another transaction. held, locked: a claim or a transaction of somebody is in the way; refused: a rule of today does not take what was there (detail); denied: not the caller''s to read or write: of these keys nothing is rolled back. Needs admin on everything. PS007 PS010 PS020 PS021 PS022 PS023.';
