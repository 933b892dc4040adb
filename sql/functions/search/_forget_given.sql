-- Vectors that writers gave go with their rule: they have no digest, by which whatever comes next would know them. It may be the rule
-- of a larger subtree, of which this one is taken out; where nearer rules decide they stay.
create function pgstate._forget_given(p_subtree text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_ranges pgstate.keymultirange := pgstate._pattern_ranges(p_subtree);
begin
  -- first what _rules_changed() updates: transactions that hold it may be about to write what is removed here
  perform from pgstate.install for no key update;
  if (select r.vector_fields = '{}' from pgstate.search_rule r where r.ranges @> v_ranges order by r.nearness desc limit 1) then
    delete from pgstate.embedding m
     using (select x.low, x.high
              from pgstate._spans(v_ranges - coalesce((
                     select range_agg(n.ranges) from pgstate.search_rule n where n.subtree <> p_subtree and v_ranges @> n.ranges), '{}')) x offset 0) s
     where m.key >= s.low and m.key < s.high and m.digest = '';
  end if;
end
$$;
comment on function pgstate._forget_given(text) is 'Internal: removes the vectors that writers gave where a rule changes.';
