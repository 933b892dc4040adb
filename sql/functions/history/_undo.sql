-- What rollback() and quarantine() write: puts and deletes by write_many(), all or nothing, each expecting the version that the
-- plan was made for. If one has changed meanwhile, all locks are given back, those keys are locked again, so that they hold
-- still, and the plan is made anew. A key that comes along then is locked together with the others too: after them, it would
-- be out of order, and whoever writes several keys could wait in a circle with this. At last it is taken as it comes.
--
-- Locked here, not by write_many() alone: who waits for a lock that was taken in a block within the block that gives it back
-- goes on waiting, for the end of the transaction.
create function pgstate._undo(
  p_actor pgstate._actor, p_agent text, p_ranges pgstate.keymultirange, p_regex text, p_version bigint, p_moment pgstate._moment, p_writer text,
  p_force boolean, p_dry_run boolean, p_single boolean, p_wake boolean
) returns pgstate.rolled_back[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_rows pgstate.rolled_back[];
  v_outcome jsonb;
  v_a record;
  v_failed boolean;
  v_keys text[];
  v_locked text[];
  v_now timestamptz;
begin
  for v_try in 1 .. 20 loop
    begin
      if v_locked is not null then
        perform from pgstate.entry e where e.key = any (v_locked) order by e.key for update;
      end if;
      v_rows := array(
        select p from pgstate._rollback_plan(p_actor, p_ranges, p_regex, p_version, p_moment,
                                             p_writer, p_force, p_single) p limit 100001);
      if cardinality(v_rows) > 100000 then
        raise exception using errcode = 'PS007', message = 'more than 100000 keys would change: roll back in parts',
          hint = 'Give patterns that are narrower. Of an agent that is to be stopped, quarantine() undoes any number.';
      end if;
      select array_agg(r.key) as keys, array_agg(r.action) as ops, array_agg(r.new_value) as vals, array_agg(r.from_version) as expects,
             array_agg(r.expires_at) as ends,
             array_agg((select v.trust::text from pgstate.version v where v.key = r.key and v.version = r.to_version)) as trusts
        into v_a from unnest(v_rows) r where r.status = 'ok' and r.action <> 'none';
      v_failed := exists (select from unnest(v_rows) r where r.status in ('held', 'denied'));
      if p_dry_run then
        v_rows := array(
          select row(r.key, case when r.status = 'ok' and r.action = 'put' and s.value is null then 'refused' else r.status end, r.action, null, r.from_version,
                     r.to_version, r.old_value, coalesce(s.value, r.new_value), r.expires_at, null)::pgstate.rolled_back
            from unnest(v_rows) with ordinality as r
            left join lateral (select pgstate._storable(p_actor, r.key, r.new_value) as value where r.status = 'ok' and r.action = 'put') s on true
           order by r.ordinality);
      end if;
      exit when p_dry_run or v_failed or v_a.keys is null;
      v_keys := v_a.keys;
      if exists (select k from unnest(v_keys) k except select k from unnest(v_locked) k) then
        if v_locked is not null and v_try < 10 then
          raise exception using errcode = 'PS999';
        end if;
        perform from pgstate.entry e where e.key = any (v_keys) order by e.key for update;
      end if;
      -- after the locks: until then it may have waited
      v_now := pgstate._now();
      v_outcome := (
        select jsonb_object_agg(v_a.keys[o.ord], jsonb_build_array(o.status, o.version, o.code, o.watched))
          from pgstate.write_many(
            v_a.ops, v_a.keys, v_a.vals, v_a.expects, wake => p_wake, "atomic" => true, agent => p_agent, trusts => v_a.trusts,
            ttls => array(select case when e.at is not null then greatest(e.at - v_now, interval '1 ms') end
                            from unnest(v_a.ends) with ordinality as e (at, ord) order by e.ord)) o);
      select r.key, o.item ->> 2 as code into v_a from jsonb_each(v_outcome) as o (key, item) join unnest(v_rows) r on r.key = o.key
       where o.item ->> 2 is not null order by r.key limit 1;
      if found then
        -- such as a value that is over the limit of today
        perform pgstate._raise(v_a.code, v_a.key, v_a.key || ': ' || pgstate._error_text(v_a.code, v_a.key));
      end if;
      v_failed := exists (select from jsonb_each(v_outcome) as o (key, item) where o.item ->> 0 = 'held');
      if exists (select from jsonb_each(v_outcome) as o (key, item) where o.item ->> 0 in ('conflict', 'missing')) then
        raise exception using errcode = 'PS999';
      end if;
      v_rows := array(
        select row(r.key, coalesce(o.item ->> 0, r.status), r.action, (o.item ->> 1)::bigint, r.from_version, r.to_version, r.old_value,
                   case when p_actor.policies and r.action = 'put' and r.new_value::text ~ pgstate._secret_hint()
                        -- it may have been redacted
                        then coalesce(pgstate._value_at(r.key, (o.item ->> 1)::bigint), r.new_value) else r.new_value end,
                   r.expires_at, (o.item ->> 3)::boolean)::pgstate.rolled_back
          from unnest(v_rows) with ordinality as r left join jsonb_each(v_outcome) as o (key, item) on o.key = r.key
         order by r.ordinality);
      exit;
    exception when sqlstate 'PS999' then
      if v_try = 20 then
        raise exception using errcode = '40001', message = 'what was to be rolled back changed under every try', hint = 'Run the transaction again.';
      end if;
      v_locked := array(select k from unnest(v_locked) k union select k from unnest(v_keys) k);
    end;
  end loop;
  if v_failed and not p_dry_run then
    v_rows := array(
      select row(r.key, case when r.status = 'ok' then 'skipped' else r.status end, r.action, null, r.from_version, r.to_version,
                 r.old_value, r.new_value, r.expires_at, false)::pgstate.rolled_back
        from unnest(v_rows) with ordinality as r order by r.ordinality);
  end if;
  return v_rows;
end
$$;
comment on function pgstate._undo(pgstate._actor, text, pgstate.keymultirange, text, bigint, pgstate._moment, text, boolean, boolean, boolean, boolean) is
  'Internal: brings keys back to what they were.';
