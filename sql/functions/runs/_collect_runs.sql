create function pgstate._collect_runs(p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
declare
  v_ids bigint[] := array(select r.id from pgstate.run r where r.key is null order by r.id limit 100 for update skip locked);
  v_count int;
  v_signals int;
begin
  delete from pgstate.step s where s.ctid = any (array(select x.ctid from pgstate.step x where x.run_id = any (v_ids) limit p_limit));
  get diagnostics v_count = row_count;
  delete from pgstate.signal g where g.ctid = any (array(select x.ctid from pgstate.signal x where x.run_id = any (v_ids) limit p_limit));
  get diagnostics v_signals = row_count;
  if greatest(v_count, v_signals) >= p_limit then
    return true;
  end if;
  delete from pgstate.run r where r.id = any (v_ids);
  return cardinality(v_ids) = 100;
end
$$;
comment on function pgstate._collect_runs(int) is 'Internal: removes what deleted runs held; is there more to do?';
