-- Made a trigger by _follow_writes() while there are rules for search: its transition table costs every write 25 us.
create function pgstate._on_version_search() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_keys text[];
  v_given text[];
  -- the vectors come in this statement: those that stay as they are need no new place in the index
  v_follow boolean := current_setting('pgstate.vectors', true) is not distinct from 'follow';
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- a snapshot from before the rules changed does not show them: then this is a serialization failure
    perform from pgstate.install for share;
  end if;
  -- where there are no words and writers give the vectors there is nothing to index: what there is goes, and no key has a
  -- document. Where rules lie within each other, _index_keys() tells which decides.
  select array_agg(w.key order by w.key) filter (where (g.ranges @> w.key) is not true), array_agg(w.key) filter (where g.ranges @> w.key)
    into v_keys, v_given
    from (select distinct n.key from written n) w
    cross join (
      select range_agg(r.ranges) filter (where r.fields = '{}' and r.vector_fields = '{}')
               - coalesce(range_agg(r.ranges) filter (where (r.fields = '{}' and r.vector_fields = '{}') is not true), '{}') as ranges
        from pgstate.search_rule r) g;
  -- most have nothing, and to set deleting up costs more than to look
  if v_given is not null
     and (not v_follow and exists (select from pgstate.embedding m where m.key = any (v_given))
          or exists (select from pgstate.search_doc d where d.key = any (v_given))
          or exists (select from pgstate.embedding_wanted w where w.key = any (v_given))) then
    with documents as (
      delete from pgstate.search_doc d where d.key = any (v_given)
    ), wanted as (
      delete from pgstate.embedding_wanted w where w.key = any (v_given)
    )
    delete from pgstate.embedding m where m.key = any (v_given) and not v_follow;
  end if;
  if v_keys is not null then
    perform pgstate._index_keys(v_keys);
  end if;
  return null;
end
$$;
comment on function pgstate._on_version_search() is 'Internal: indexes for search what a statement wrote.';
