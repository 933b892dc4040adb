-- Vectors that writers gave go with their rule: they have no digest, by which whatever comes next would know them.
create function pgstate._forget_given(p_subtree text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  delete from pgstate.embedding m
   using (select x.low, x.high from pgstate.search_rule r, pgstate._spans(r.ranges) x
           where r.subtree = p_subtree and r.vector_fields = '{}' offset 0) s
   where m.key >= s.low and m.key < s.high and m.digest = '';
end
$$;
comment on function pgstate._forget_given(text) is 'Internal: removes the vectors that writers gave under a rule.';
