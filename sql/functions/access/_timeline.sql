-- The control file lags after a promotion, the name of the current log segment does not. Null on a standby, where that cannot be asked
-- for: statements are planned with this, and what they write is refused as anywhere else there.
create function pgstate._timeline() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  return case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end;
end
$$;
comment on function pgstate._timeline() is 'Internal: rises with each promotion of a standby.';
