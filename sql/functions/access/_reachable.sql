-- What policies compare keys with: the acting agent's reach with one right, as it is stored. One call per statement and policy,
-- which wrap it in a scalar subquery.
-- pgstate.call_agents (set by _enter_for() for the feed reads of a process) widens reading to all the agents it names.
-- Few expressions and one relation in the usual case: a write calls this four times, and each expression is initialised
-- anew in every transaction (the policies' own subqueries, in place of this function, cost more: the executor sets them up
-- whether or not they are reached). Nobody, and agents with a grant that is to end, take the long way.
create function pgstate._reachable(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_ranges pgstate.keymultirange;
begin
  if coalesce(current_setting('pgstate.call_agents', true), '') || coalesce(current_setting('pgstate.call_agent', true), '')
     || coalesce(current_setting('pgstate.agent', true), '') = '' then
    -- nobody is named, so the login's own agent acts: the short form of _acting
    select case p_right when 'touch' then l.touches when 'write' then l.writes when 'read' then l.reads end into v_ranges
      from pgstate.login l where l.login = session_user::text and l.folded_until is null;
  elsif coalesce(current_setting('pgstate.call_agents', true), '') = '' then
    select case p_right when 'touch' then r.touches when 'write' then r.writes when 'read' then r.reads end into v_ranges
      from pgstate._acting a join pgstate.reach r on r.agent_id = a.agent_id where r.folded_until is null;
  elsif p_right = 'write' then
    return '{}';
  else
    return (select range_agg(u) from pgstate._reach r, unnest(r.reads) u where r.agent_id = any (pgstate._acting_ids()));
  end if;
  if v_ranges is not null then
    return v_ranges;
  end if;
  return pgstate._reachable_now(p_right);
end
$$;
comment on function pgstate._reachable(text) is 'Internal: what the acting agent may read, write, or touch (either).';
