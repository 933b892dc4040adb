-- By the ranges alone: a look at other rows would show in the caller's own statistics.
create function pgstate._claim_log(p_actor pgstate._actor, p_pattern text, p_limit int) returns setof pgstate.claim_log_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_ranges pgstate.keymultirange := pgstate._pattern_ranges(p_pattern)
    * (select r.admins + '{}' from pgstate._reach r where r.agent_id = p_actor.id);
  v_regex text := pgstate._pattern_regex(p_pattern);
begin
  if isempty(v_ranges) then
    perform pgstate._deny();
  end if;
  return query
    select l.key, l.at, l.token, l.holder, l.lease_until, l.attempts, l.released_by, l.via
      from (
        select r.low, r.high from pgstate._spans(v_ranges) r offset 0) span
      join pgstate.claim_log l on l.key >= span.low and l.key < span.high and (v_regex is null or l.key ~ v_regex)
     order by l.at desc, l.key limit p_limit;
end
$$;
comment on function pgstate._claim_log(pgstate._actor, text, int) is 'Internal: claims that were ended by force, where the caller administers.';
