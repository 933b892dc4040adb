-- In one transaction, in the order that an attack is answered in: nobody acts as the agent, its claims end, what it wrote is undone or
-- at least not trusted, and what remains to be looked at is named. What it keeps locked is told, and holds nothing of this up.
create function pgstate.quarantine(
  agent text, since timestamptz default null, cursor text default null, rollback boolean default false, force boolean default false,
  dry_run boolean default false
) returns setof pgstate.quarantined
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '2s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(null);
  v_moment pgstate._moment;
  v_suspended boolean;
  v_keys text[];
  v_rows pgstate.rolled_back[] := '{}';
  v_failed boolean := false;
  v_spared text[];
  v_one record;
begin
  perform pgstate._check_admin(v_actor, '**');
  if num_nonnulls(quarantine.since, quarantine.cursor) <> 1 then
    raise exception using errcode = 'PS007', message = 'since when: give a time (since), or a cursor';
  elsif quarantine.rollback is null or quarantine.force is null or quarantine.dry_run is null then
    raise exception using errcode = 'PS007', message = 'rollback, force and dry_run are true or false';
  elsif quarantine.force and not quarantine.rollback then
    raise exception using errcode = 'PS007', message = 'force is for a rollback: it undoes what others wrote on top, too';
  end if;
  v_suspended := pgstate._is_suspended(quarantine.agent);
  if quarantine.dry_run then
    v_keys := pgstate._claimed_by(quarantine.agent);
  else
    v_keys := pgstate._suspend(v_actor, quarantine.agent);
  end if;
  return next row('suspend', null, case when v_suspended then 'there' when quarantine.dry_run then 'to do' else 'ok' end, null, null, null, null, null,
                  null)::pgstate.quarantined;
  return query select 'release', k, case when quarantine.dry_run then 'to do' else 'ok' end, null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
                 from unnest(v_keys) k order by k collate "C";
  return query select 'release', k, 'locked', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
                 from unnest(pgstate._claimed_by(quarantine.agent)) k where not quarantine.dry_run order by k collate "C";
  -- after the wait for locks
  v_moment := pgstate._moment(v_actor, quarantine.cursor, quarantine.since);

  if quarantine.rollback then
    begin
      v_rows := array(select r from pgstate.rollback('**', cursor => quarantine.cursor, at => quarantine.since, writer => quarantine.agent,
                                                     force => quarantine.force, dry_run => quarantine.dry_run) r);
    exception when lock_not_available then
      v_rows := array(select row(r.key, 'locked', r.action, null, r.from_version, r.to_version, r.old_value, r.new_value, r.expires_at, null)::pgstate.rolled_back
                        from pgstate.rollback('**', cursor => quarantine.cursor, at => quarantine.since, writer => quarantine.agent,
                                              force => quarantine.force, dry_run => true) r where r.status = 'ok');
    end;
    -- all or nothing: what is held, or locked, keeps the rest as it is
    v_failed := exists (select from unnest(v_rows) r where r.status in ('held', 'denied', 'locked'));
    -- what a dry run would undo needs no more to be done about it
    v_spared := array(select r.key from unnest(v_rows) r where quarantine.dry_run and not v_failed and r.status = 'ok');
    return query
      select r.action, r.key, case when not quarantine.dry_run or r.status <> 'ok' then r.status when v_failed then 'skipped' else 'to do' end,
             r.version, r.from_version, r.to_version, r.old_value, r.new_value, null::jsonb
        from unnest(v_rows) r where r.action <> 'none';
  end if;

  return query
    select 'distrust', d.key, d.status, d.version, null::bigint, null::bigint, null::jsonb, null::jsonb, jsonb_build_object('from', d.trust)
      from pgstate._distrust(v_actor, quarantine.agent, v_moment, coalesce(v_spared, '{}'), quarantine.dry_run) d;
  return query
    select case when w.writer = quarantine.agent then w.kind else 'derived' end, w.key, 'left', max(w.version), null::bigint, null::bigint, null::jsonb, null::jsonb,
           jsonb_strip_nulls(jsonb_build_object('writer', nullif(w.writer, quarantine.agent)))
      from pgstate._written_since(quarantine.agent, v_moment) w
     where w.writer <> quarantine.agent or w.kind <> 'value'
     group by w.writer, w.kind, w.key order by w.key collate "C";
  return query
    select 'thread', k, 'left', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, null::jsonb
      from pgstate._forks_since(quarantine.agent, v_moment) k
     where not exists (select from pgstate._written_since(quarantine.agent, v_moment) w where w.key = k and w.writer = quarantine.agent);
  return query
    select 'open', null, 'left', null::bigint, null::bigint, null::bigint, null::jsonb, null::jsonb, jsonb_strip_nulls(to_jsonb(t))
      from pgstate._open_transactions(pgstate._agent_id(quarantine.agent)) t;
  if not quarantine.dry_run then
    perform pgstate._audit(v_actor, 'quarantine', null, jsonb_build_object(
      'agent', quarantine.agent, 'since', coalesce(to_jsonb(quarantine.since), to_jsonb(quarantine.cursor)), 'rollback', quarantine.rollback,
      'undone', (select count(*) from unnest(v_rows) r where r.status = 'ok')));
  end if;
end
$$;
comment on function pgstate.quarantine(text, timestamptz, text, boolean, boolean, boolean) is
  'Answers to an agent that has been taken over; call suspend_agent() before, in a transaction of its own, since what begins before a suspension is committed is not stopped by it. Suspends it if it is not, gives back its claims, and has what it wrote since a time or cursor, and what is still there of that, trusted as external (distrust), or with rollback undoes it (as rollback() with writer: entries that others wrote too are told as conflict and distrusted, unless force). A row for each thing done (ok), or with dry_run to be done (to do), and for what is left to whoever asks: derived, versions of others that name its writes as sources; thread and run, in which it recorded, and forks that hold checkpoints of its (what it laid down there by put_writes() without a checkpoint is not known); open, transactions of its that have written and may still commit: end them and ask again, which does the rest. held, locked: a claim or a transaction of somebody is in the way, and nothing is rolled back. Needs admin on everything. PS007 PS010 PS020 PS021 PS022 PS023.';
