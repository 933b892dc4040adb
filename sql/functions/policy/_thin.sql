-- One step of what grows with time and not with what is kept: points of the feed become fewer with their age, those whose
-- history is gone go. Is there more?
create function pgstate._thin(p_window interval, p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_now timestamptz := pgstate._now();
  v_step pgstate.thinning;
  v_row record;
  v_upto timestamptz;
  v_count bigint := 0;
  v_more boolean := false;
begin
  for v_row in select p.at, p.epoch, p.seen from pgstate.feed_point p order by p.at limit p_limit loop
    exit when pgstate._kept(v_row.seen, v_row.epoch);
    v_upto := v_row.at;
    v_count := v_count + 1;
  end loop;
  delete from pgstate.feed_point p where p.at <= v_upto;
  v_more := v_count = p_limit;

  for v_step in select t.older, t.every, coalesce(t.upto, '-infinity') from pgstate.thinning t order by t.older loop
    select max(w.at), count(*) into v_upto, v_count
      from (select p.at from pgstate.feed_point p
             where p.at > v_step.upto and p.at <= v_now - greatest(v_step.older, p_window) order by p.at limit p_limit) w;
    continue when v_upto is null;
    delete from pgstate.feed_point p
     where p.at > v_step.upto and p.at <= v_upto
       and exists (select from pgstate.feed_point q where q.at >= date_bin(v_step.every, p.at, '2000-01-01 00:00+00') and q.at < p.at);
    update pgstate.thinning t set upto = v_upto where t.older = v_step.older;
    v_more := v_more or v_count = p_limit;
  end loop;
  return v_more;
end
$$;
comment on function pgstate._thin(interval, int) is 'Internal: thins points of the feed.';
