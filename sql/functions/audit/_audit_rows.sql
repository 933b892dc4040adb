-- By the ranges alone, as _claim_log(): a look at other rows would show in the caller's own statistics. What is about the
-- installation as a whole is for those who administer everything.
create function pgstate._audit_rows(p_actor pgstate._actor, p_pattern text, p_events text[], p_limit int, p_before bigint)
returns setof pgstate.audit_row
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_admins pgstate.keymultirange := (select r.admins + '{}' from pgstate._reach r where r.agent_id = p_actor.id);
  v_ranges pgstate.keymultirange := pgstate._pattern_ranges(p_pattern) * v_admins;
  v_regex text := pgstate._pattern_regex(p_pattern);
begin
  if isempty(v_ranges) is not false and p_pattern <> '' then
    perform pgstate._deny();
  elsif v_ranges = pgstate._pattern_ranges('**') then
    return query
      select a.id, a.at, a.event, a.agent, a.via, a.key, a.detail
        from pgstate.audit a
       where a.id < coalesce(p_before, 9223372036854775807) and (p_events is null or a.event = any (p_events))
       order by a.id desc limit p_limit;
  else
    return query
      select a.id, a.at, a.event, a.agent, a.via, a.key, a.detail
        from (
          select r.low, r.high from pgstate._spans(v_ranges) r offset 0) span
        join pgstate.audit a on a.key >= span.low and a.key < span.high and (v_regex is null or a.key ~ v_regex)
       where a.id < coalesce(p_before, 9223372036854775807) and (p_events is null or a.event = any (p_events))
       order by a.id desc limit p_limit;
  end if;
end
$$;
comment on function pgstate._audit_rows(pgstate._actor, text, text[], int, bigint) is 'Internal: the audit trail where the caller administers.';
