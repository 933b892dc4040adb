-- Made a trigger by _follow_writes() while there are rules for search: its transition table costs every write 25 us.
create function pgstate._on_version_search() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off
as $$
declare
  v_keys text[];
  v_old boolean;
  -- the vectors come in this statement: those that stay as they are need no new place in the index
  v_follow boolean := current_setting('pgstate.vectors', true) is not distinct from 'follow';
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- a snapshot from before the rules changed does not show them: then this is a serialization failure
    perform from pgstate.install for share;
  end if;
  -- where writers give the vectors, those of the version before go, and there is nothing to index. Most have none, and to set deleting
  -- up costs more than to look. (Not by exists(), for which the planner may look at all of them)
  select array_agg(w.key) filter (where not i.given @> w.key),
         bool_or(not v_follow and i.given @> w.key and (select true from pgstate.embedding m where m.key = w.key limit 1))
    into v_keys, v_old
    from written w cross join (select x.given + '{}' as given from pgstate.install x offset 0) i;
  if v_old then
    delete from pgstate.embedding m
     where m.key = any (array(select w.key from written w, pgstate.install i where i.given @> w.key));
  end if;
  if v_keys is not null then
    perform pgstate._index_keys(array(select distinct k collate "C" as key from unnest(v_keys) k order by key));
  end if;
  return null;
end
$$;
comment on function pgstate._on_version_search() is 'Internal: indexes for search what a statement wrote.';
