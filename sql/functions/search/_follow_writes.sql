-- Writes pay for search only where there are rules; when the last has gone, the trigger goes if nobody is in the way. The
-- lock waits for transactions that have written, and holds up those that want to: not for long while it waits, but until the
-- caller's transaction ends once it has it. So it is taken for those alone who administer everything.
create function pgstate._follow_writes() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set lock_timeout = '2s'
as $$
declare
  v_followed boolean := exists (select from pg_trigger t where t.tgname = 'version_search' and t.tgrelid = 'pgstate.version'::regclass);
begin
  if v_followed = exists (select from pgstate.search_rule) then
    return;
  elsif not v_followed then
    create trigger version_search after insert on pgstate.version referencing new table as written
      for each statement execute function pgstate._on_version_search();
  else
    perform set_config('lock_timeout', '50ms', true);
    drop trigger version_search on pgstate.version;
  end if;
exception when lock_not_available then
  -- a trigger that finds no rule does no harm
  if not exists (select from pgstate.search_rule) then
    return;
  end if;
  raise exception using errcode = '55P03', message = 'a transaction that has written is still open: search cannot begin to follow writes',
    hint = 'Try again when it has ended (pg_stat_activity shows it).';
end
$$;
comment on function pgstate._follow_writes() is 'Internal: makes the trigger that indexes writes, once there are rules for search.';
