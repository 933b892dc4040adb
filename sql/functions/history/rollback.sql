-- New versions, never a loss of any: _undo() writes them.
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
             pgstate._value_at(o.item ->> 0, (o.item ->> 4)::bigint),
             pgstate._value_at(o.item ->> 0, coalesce(o.item ->> 3, o.item ->> 5)::bigint),
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
  v_rows := pgstate._undo(v_actor, rollback.agent, v_ranges, pgstate._pattern_regex(rollback.pattern), rollback.version, v_moment, rollback.writer,
                          rollback.force, rollback.dry_run, v_single, rollback.wake);

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
  'Brings keys back to what they were: one key to a version of its own, or all that match the pattern and that the caller may read to a cursor or a time (as in get_as_of()), by new versions: puts, and deletes of what was not there. All or nothing: when a key is claimed (held) or may not be written (denied), the rows say which, and the others skipped. A row for each key that changes. writer: only keys that this agent wrote since, and that nobody else did: those have status conflict and stay as they are, unless force. dry_run only shows, with status refused for what a rule of today (schema, value_limit, guard) would not take: that is an error else. Needs read and write. Values whose end has passed do not come back, priority and not_before are not part of a version. PS001 PS002 PS007 PS010 PS020 PS021 PS022 PS023 PS030 PS031 PS040.';
