-- New versions, never a loss of any: puts and deletes by write_many(), all or nothing, each expecting the version that the
-- plan was made for. If one has changed meanwhile, the plan is made again; the locks of the try before are kept, so that
-- what it was about holds still by then.
create function pgstate.rollback(
  pattern text, version bigint default null, cursor text default null, at timestamptz default null, writer text default null,
  force boolean default false, dry_run boolean default false, op_id text default null, lane uuid default null,
  turn bigint default null, wake boolean default true, agent text default null
) returns setof pgstate.rolled_back
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter_write(rollback.agent);
  v_single boolean := rollback.pattern <> '' and rollback.pattern !~ '[*?]';
  v_ranges pgstate.keymultirange;
  v_moment pgstate._moment;
  v_rows pgstate.rolled_back[];
  v_request text;
  v_states text[];
  v_outcome jsonb;
  v_a record;
  v_failed boolean;
  v_lost boolean;
begin
  if v_single then
    perform pgstate._check_claimant(v_actor, rollback.pattern);
  else
    perform pgstate._check_pattern(rollback.pattern);
  end if;
  v_actor.reads := v_actor.reads + '{}';
  v_actor.writes := v_actor.writes + '{}';
  v_ranges := pgstate._pattern_ranges(rollback.pattern) * v_actor.reads;
  if isempty(v_ranges * v_actor.writes) then
    perform pgstate._deny();
  elsif num_nonnulls(rollback.version, rollback.cursor, rollback.at) <> 1 then
    perform pgstate._check_as_of(num_nonnulls(rollback.version, rollback.cursor, rollback.at));
  elsif rollback.version is not null and not v_single then
    raise exception using errcode = 'PS007', message = 'a version is of one key: for several give a cursor or a time';
  elsif rollback.force is null or rollback.dry_run is null or rollback.wake is null then
    raise exception using errcode = 'PS007', message = 'force, dry_run and wake are true or false';
  end if;

  if rollback.lane is not null and not rollback.dry_run then
    v_outcome := pgstate._lane_begin(v_actor, rollback.lane, rollback.turn);
  end if;
  if v_outcome is null and rollback.op_id is not null and not rollback.dry_run then
    v_request := jsonb_build_array('rollback', rollback.pattern, rollback.version, rollback.cursor, pgstate._time_told(rollback.at), rollback.writer,
                                   rollback.force)::text;
    v_states := pgstate._op_begin(v_actor, array[rollback.op_id], array[v_request]);
    if v_states = array['known'] then
      v_states := pgstate._op_known(v_actor, array[rollback.op_id], array[v_request], v_states);
    end if;
    if v_states = array['invalid'] then
      perform pgstate._raise('PS007', null);
    elsif v_states = array['reused'] then
      perform pgstate._raise('PS030', null);
    elsif v_states = array['replay'] then
      v_outcome := pgstate._op_outcome(v_actor, rollback.op_id);
    end if;
  end if;
  if v_outcome is not null then
    -- done before: the values are in the history
    return query
      select o.item ->> 0, o.item ->> 1, o.item ->> 2, (o.item ->> 3)::bigint, (o.item ->> 4)::bigint, (o.item ->> 5)::bigint,
             pgstate._value_at(o.item ->> 0, (o.item ->> 4)::bigint), pgstate._value_at(o.item ->> 0, (o.item ->> 5)::bigint),
             (select v.expires_at from pgstate.version v where v.key = o.item ->> 0 and v.version = (o.item ->> 3)::bigint), true
        from jsonb_array_elements(v_outcome) with ordinality as o (item, ord) order by o.ord;
    return;
  end if;

  if v_single and exists (select from pgstate.entry e where e.key = rollback.pattern and e.kind <> 'value') then
    perform pgstate._raise('PS040', rollback.pattern);
  end if;
  if rollback.version is null then
    v_moment := pgstate._moment(v_actor, rollback.cursor, rollback.at);
  elsif not exists (select from pgstate.version v where v.key = rollback.pattern and v.version = rollback.version) then
    raise exception using errcode = 'PS007', message = 'the key has no such version', hint = 'pgstate.history() has its versions.';
  end if;
  for v_try in 1 .. 20 loop
    v_rows := array(
      select p from pgstate._rollback_plan(v_actor, v_ranges, pgstate._pattern_regex(rollback.pattern), rollback.version, v_moment,
                                           rollback.writer, rollback.force, v_single) p limit 100001);
    if cardinality(v_rows) > 100000 then
      raise exception using errcode = 'PS007', message = 'more than 100000 keys would change: roll back in parts',
        hint = 'Give patterns that are narrower. An agent that wrote them is to be stopped first, by suspend_agent(); then rollback(pattern, writer => …) does what quarantine() would.';
    end if;
    select array_agg(r.key) as keys, array_agg(r.action) as ops, array_agg(r.new_value) as vals, array_agg(r.from_version) as expects,
           array_agg(case when r.expires_at is not null then greatest(r.expires_at - pgstate._now(), interval '1 ms') end) as ttls,
           array_agg((select v.trust::text from pgstate.version v where v.key = r.key and v.version = r.to_version)) as trusts
      into v_a from unnest(v_rows) r where r.status = 'ok' and r.action <> 'none';
    v_failed := exists (select from unnest(v_rows) r where r.status in ('held', 'denied'));
    exit when rollback.dry_run or v_failed or v_a.keys is null;
    v_outcome := (
      select jsonb_object_agg(v_a.keys[o.ord], jsonb_build_array(o.status, o.version, o.code, o.watched))
        from pgstate.write_many(v_a.ops, v_a.keys, v_a.vals, v_a.expects, ttls => v_a.ttls, wake => rollback.wake, "atomic" => true,
                                agent => rollback.agent, trusts => v_a.trusts) o);
    select r.key, o.item ->> 2 as code into v_a from jsonb_each(v_outcome) as o (key, item) join unnest(v_rows) r on r.key = o.key
     where o.item ->> 2 is not null order by r.key limit 1;
    if found then
      -- such as a value that is over the limit of today
      perform pgstate._raise(v_a.code, v_a.key);
    end if;
    v_failed := exists (select from jsonb_each(v_outcome) as o (key, item) where o.item ->> 0 = 'held');
    v_lost := exists (select from jsonb_each(v_outcome) as o (key, item) where o.item ->> 0 in ('conflict', 'missing'));
    v_rows := array(
      select row(r.key, coalesce(o.item ->> 0, r.status), r.action, (o.item ->> 1)::bigint, r.from_version, r.to_version, r.old_value,
                 r.new_value, r.expires_at, (o.item ->> 3)::boolean)::pgstate.rolled_back
        from unnest(v_rows) with ordinality as r left join jsonb_each(v_outcome) as o (key, item) on o.key = r.key
       order by r.ordinality);
    exit when not v_lost;
    if v_try = 20 then
      raise exception using errcode = '40001', message = 'what was to be rolled back changed under every try', hint = 'Run the transaction again.';
    end if;
  end loop;
  if v_failed and not rollback.dry_run then
    v_rows := array(
      select row(r.key, case when r.status = 'ok' then 'skipped' else r.status end, r.action, null, r.from_version, r.to_version,
                 r.old_value, r.new_value, r.expires_at, false)::pgstate.rolled_back
        from unnest(v_rows) with ordinality as r order by r.ordinality);
  end if;

  if not rollback.dry_run and (rollback.lane is not null or rollback.op_id is not null) then
    v_outcome := coalesce((
      select jsonb_agg(jsonb_build_array(r.key, r.status, r.action, r.version, r.from_version, r.to_version) order by r.ordinality)
        from unnest(v_rows) with ordinality as r), '[]');
    if rollback.op_id is not null then
      perform pgstate._op_end(v_actor, rollback.op_id, v_outcome);
    end if;
    if rollback.lane is not null then
      perform pgstate._lane_end(rollback.lane, rollback.turn, v_outcome);
    end if;
  end if;
  return query select r.* from unnest(v_rows) r;
end
$$;
comment on function pgstate.rollback(text, bigint, text, timestamptz, text, boolean, boolean, text, uuid, bigint, boolean, text) is
  'Brings keys back to what they were: one key to a version of its own, or all that match the pattern and that the caller may read to a cursor or a time (as in get_as_of()), by new versions: puts, and deletes of what was not there. All or nothing: when a key is claimed (held) or may not be written (denied), the rows say which, and the others skipped. A row for each key that changes. writer: only keys that this agent wrote since, and that nobody else did: those have status conflict and stay as they are, unless force. dry_run only shows. Needs read and write. Values whose end has passed do not come back, priority and not_before are not part of a version. PS001 PS002 PS007 PS010 PS020 PS021 PS022 PS023 PS030 PS031 PS040.';
