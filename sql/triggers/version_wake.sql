-- Wakes watchers in the writing transaction, so that any client does: psql, an ORM, a function of the application. The
-- Python client turns it off for its own writes and wakes after the commit: NOTIFY holds a lock of the whole cluster from
-- before the commit's flush until after it (5,500 inserts/s with it, 24,800 without, 17,800 with the NOTIFY apart).
--
-- No WHEN and no transition table: both cost every write 25 us, wanted or not. What is new is found by the transaction's id
-- instead, from the last seq on that an earlier statement of the transaction woke for.
create function pgstate._wake_written() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_keys text[];
  v_last text;
begin
  if not exists (select from pgstate.watcher) then
    return;
  end if;
  select array_agg(distinct v.key), max(v.seq)::text into v_keys, v_last
    from pgstate.version v
   where v.epoch = (select i.epoch from pgstate.install i) and v.xid = pg_current_xact_id()
     and v.seq > coalesce(nullif(current_setting('pgstate.woken', true), ''), '0')::bigint;
  if v_last is not null then
    perform pgstate._wake(v_keys);
    perform set_config('pgstate.woken', v_last, true);
  end if;
end
$$;
comment on function pgstate._wake_written() is 'Internal: wakes the watchers of what this transaction has written since it last did.';

-- Runs with every write of the Python client, to find that it has nothing to do: as its caller, and without a search_path of
-- its own, which cost more than all the rest of it.
create function pgstate._on_version() returns trigger
language plpgsql volatile
as $$
begin
  if (pg_catalog.current_setting('pgstate.wake', true) operator(pg_catalog.=) 'off'
      and (pg_catalog.current_setting('pgstate.quota', true) operator(pg_catalog.=) 'on') is not true) is not true then
    -- which only _enter_write() can have set after the statement began
    if pg_catalog.current_setting('pgstate.quota', true) operator(pg_catalog.=) 'on' then
      perform pgstate._charge();
    end if;
    if (pg_catalog.current_setting('pgstate.wake', true) operator(pg_catalog.=) 'off') is not true then
      perform pgstate._wake_written();
    end if;
  end if;
  return null;
end
$$;
comment on function pgstate._on_version() is 'Internal: counts what a statement wrote where the agent has a quota, and wakes its watchers.';

create trigger version_wake after insert on pgstate.version for each statement execute function pgstate._on_version();
