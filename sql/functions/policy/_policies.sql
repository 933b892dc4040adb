-- A policy on keys that the caller does not reach is hidden from it: its name may be all that there is to know of them. One
-- that holds for some of the caller's keys is named by them; the dead letters may lie where the caller reaches nothing.
create function pgstate._policies(p_actor pgstate._actor) returns setof pgstate.policy_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_reach pgstate.keymultirange := (select r.touches + r.admins from pgstate._reach r where r.agent_id = p_actor.id);
begin
  return query
    select p.subtree, p.reducer, p.ttl, pgstate._keep_text(p.keep_versions, p.keep_age, p.keep_everything), p.value_limit, p.schema, p.set_by, p.set_at,
           p.max_attempts, p.backoff, p.backoff_limit,
           case when v_reach && pgstate._pattern_ranges(p.dead_letter || '/**') then p.dead_letter end, p.claimed_writes, p.guard, p.trust::text
      from pgstate.policy p
     where v_reach && pgstate._pattern_ranges(p.subtree)
     order by p.subtree;
end
$$;
comment on function pgstate._policies(pgstate._actor) is 'Internal: policies that the caller may see.';
