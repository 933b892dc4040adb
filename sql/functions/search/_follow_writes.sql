-- Writes pay for search only where there are rules. The lock waits for transactions that have written, and holds up those
-- that want to: not for long.
create function pgstate._follow_writes() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set lock_timeout = '2s'
as $$
begin
  if exists (select from pgstate.search_rule)
     and not exists (select from pg_trigger t where t.tgname = 'version_search' and t.tgrelid = 'pgstate.version'::regclass) then
    create trigger version_search after insert on pgstate.version referencing new table as written
      for each statement execute function pgstate._on_version_search();
  end if;
exception when lock_not_available then
  raise exception using errcode = '55P03', message = 'a transaction that has written is still open: search cannot begin to follow writes',
    hint = 'Try again when it has ended (pg_stat_activity shows it).';
end
$$;
comment on function pgstate._follow_writes() is 'Internal: makes the trigger that indexes writes, once there are rules for search.';
