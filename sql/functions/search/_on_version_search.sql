-- Made a trigger by _follow_writes() while there are rules for search: its transition table costs every write 25 us.
create function pgstate._on_version_search() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- a snapshot from before the rules changed does not show them: then this is a serialization failure
    perform from pgstate.install for share;
  end if;
  perform pgstate._index_keys(array(select distinct w.key from written w order by w.key));
  return null;
end
$$;
comment on function pgstate._on_version_search() is 'Internal: indexes for search what a statement wrote.';
