-- What policies compare keys with: the acting agent's reach with one right, as it is stored. One call per statement and policy,
-- which wrap it in a scalar subquery.
-- pgstate.call_agents (set by _enter_for() for the feed reads of a process) widens reading to all the agents it names.
-- A write calls this five times. Setting up a query costs more than running it, by the functions, operators and casts in it: so
-- there is one for each right, and the two usual cases, a login's own agent and one that is named, are asked for in full here: as in _acting_any. (The
-- policies' own subqueries, in place of this function, cost more: the executor sets them up whether or not they are reached.)
-- No variable stands in one, so that plans are generic without a setting, which each call would pay for.
-- Nobody, tickets, agents with a grant that is to end, and those of plain logins that name somebody else take the long way.
create function pgstate._reachable(p_right text) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_ranges pgstate.keymultirange;
begin
  if concat(current_setting('pgstate.call_agents', true), current_setting('pgstate.call_agent', true), current_setting('pgstate.agent', true)) = '' then
    -- nobody is named, so the login's own agent acts: the short form of _acting_any
    if p_right = 'touch' then
      select l.touches into v_ranges from pgstate.login l where l.login = session_user and l.folded_until is null;
    elsif p_right = 'write' then
      select l.writes into v_ranges from pgstate.login l where l.login = session_user and l.folded_until is null;
    elsif p_right = 'read' then
      select l.reads into v_ranges from pgstate.login l where l.login = session_user and l.folded_until is null;
    end if;
  elsif coalesce(current_setting('pgstate.call_agents', true), '') = '' then
    if p_right = 'touch' then
      select r.touches into v_ranges
        from pgstate.login l
        cross join lateral (select x.id from pgstate.agent x
                             where x.name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true)) offset 0) a
        left join lateral (select true as given from pgstate.delegation x where x.login = l.login and x.agent_id = a.id offset 0) d on true
        cross join lateral (select x.touches from pgstate.reach x where x.agent_id = a.id and x.folded_until is null offset 0) r
       where l.login = session_user and (d.given and l.gateway and not l.tickets or l.root or a.id = l.agent_id);
    elsif p_right = 'write' then
      select r.writes into v_ranges
        from pgstate.login l
        cross join lateral (select x.id from pgstate.agent x
                             where x.name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true)) offset 0) a
        left join lateral (select true as given from pgstate.delegation x where x.login = l.login and x.agent_id = a.id offset 0) d on true
        cross join lateral (select x.writes from pgstate.reach x where x.agent_id = a.id and x.folded_until is null offset 0) r
       where l.login = session_user and (d.given and l.gateway and not l.tickets or l.root or a.id = l.agent_id);
    elsif p_right = 'read' then
      select r.reads into v_ranges
        from pgstate.login l
        cross join lateral (select x.id from pgstate.agent x
                             where x.name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true)) offset 0) a
        left join lateral (select true as given from pgstate.delegation x where x.login = l.login and x.agent_id = a.id offset 0) d on true
        cross join lateral (select x.reads from pgstate.reach x where x.agent_id = a.id and x.folded_until is null offset 0) r
       where l.login = session_user and (d.given and l.gateway and not l.tickets or l.root or a.id = l.agent_id);
    end if;
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
