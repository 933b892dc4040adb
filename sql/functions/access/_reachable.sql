-- What policies compare keys with: the acting agent's reach with one right. One call per statement and policy, which wrap
-- it in a scalar subquery. The union with '{}' detoasts here; without it the stored datum is detoasted for every row.
-- pgstate.call_agents (set by _enter_for() for the feed reads of a process) widens reading to all the agents it names.
create function pgstate._reachable(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_several text := current_setting('pgstate.call_agents', true);
begin
  if coalesce(v_several, '') = '' and coalesce(current_setting('pgstate.call_agent', true), '') = ''
     and coalesce(current_setting('pgstate.agent', true), '') = '' then
    -- nobody is named, so the login's own agent acts: the short form of _acting, which every policy of most logins takes
    return (select case p_right when 'touch' then r.touches when 'write' then r.writes when 'read' then r.reads end + '{}'
              from pgstate.login l join pgstate.reach r on r.agent_id = l.agent_id where l.login = session_user::text);
  elsif v_several is null or v_several = '' then
    return (select case p_right when 'touch' then r.touches when 'write' then r.writes when 'read' then r.reads end + '{}'
              from pgstate._acting a join pgstate.reach r on r.agent_id = a.agent_id);
  elsif p_right = 'write' then
    return '{}';
  end if;
  return (select range_agg(u) from pgstate.reach r, unnest(r.reads) u where r.agent_id = any (pgstate._acting_ids()));
end
$$;
comment on function pgstate._reachable(text) is 'Internal: what the acting agent may read, write, or touch (either).';
