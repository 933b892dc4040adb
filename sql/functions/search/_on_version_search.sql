-- Made a trigger by _follow_writes() while there are rules for search: its transition table costs every write 25 us.
create function pgstate._on_version_search() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_keys text[];
  v_given text[];
  v_ranges pgstate.keymultirange;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- a snapshot from before the rules changed does not show them: then this is a serialization failure
    perform from pgstate.install for share;
  end if;
  v_keys := array(select distinct w.key from written w order by w.key);
  -- where there are no words and writers give the vectors there is nothing to index: what there is goes, and no key has a
  -- document. Where rules lie within each other, _index_keys() tells which decides.
  v_ranges := (
    select range_agg(r.ranges) - coalesce(
             (select range_agg(o.ranges) from pgstate.search_rule o where o.fields <> '{}' or o.vector_fields is distinct from '{}'), '{}')
      from pgstate.search_rule r where r.fields = '{}' and r.vector_fields = '{}');
  if v_ranges is not null then
    v_given := array(select k from unnest(v_keys) k where v_ranges @> k);
    if cardinality(v_given) > 0 then
      with documents as (
        delete from pgstate.search_doc d where d.key = any (v_given)
      ), wanted as (
        delete from pgstate.embedding_wanted w where w.key = any (v_given)
      )
      delete from pgstate.embedding m where m.key = any (v_given);
      v_keys := array(select k from unnest(v_keys) k where not v_ranges @> k);
    end if;
  end if;
  if cardinality(v_keys) > 0 then
    perform pgstate._index_keys(v_keys);
  end if;
  return null;
end
$$;
comment on function pgstate._on_version_search() is 'Internal: indexes for search what a statement wrote.';
