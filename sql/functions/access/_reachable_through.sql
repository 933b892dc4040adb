-- The reach of whom a login acts for that is not simply its own agent: a gateway, the login that installed, or one whose agent
-- has a grant that is to end, or is suspended. pgstate.call_agents (set by _enter_for() for the feed reads of a process) widens
-- reading to all the agents it names.
-- A write calls this five times. Setting up a query costs more than running it, by the functions, operators and casts in it: so
-- the usual cases are asked for in full here, as in _acting_any, and what is known of the login is handed over.
-- No variable stands in one, so that plans are generic without a setting, which each call would pay for.
-- Nobody, tickets, agents with a grant that is to end, and those that this login may not act for take the long way.
create function pgstate._reachable_through(p_right text, p_login pgstate.login) returns pgstate.keymultirange
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_reads pgstate.keymultirange;
  v_writes pgstate.keymultirange;
  v_touches pgstate.keymultirange;
begin
  if p_login.root and p_login.folded_until is null and concat(current_setting('pgstate.call_agents', true), current_setting('pgstate.call_agent', true),
                                                              current_setting('pgstate.agent', true)) = '' then
    -- nobody is named, so the login's own agent acts
    if p_right = 'touch' then
      return p_login.touches;
    elsif p_right = 'write' then
      return p_login.writes;
    end if;
    return p_login.reads;
  elsif coalesce(current_setting('pgstate.call_agents', true), '') <> '' then
    if p_right = 'write' then
      return '{}';
    end if;
    return (select range_agg(u) from pgstate._reach r, unnest(r.reads) u where r.agent_id = any (pgstate._acting_ids()));
  elsif p_login.gateway and not p_login.tickets then
    select d.reads, d.writes, d.touches into v_reads, v_writes, v_touches
      from pgstate.delegation d
     where d.login = session_user and d.folded_until is null
       and d.agent_name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true));
  elsif p_login.root then
    select r.reads, r.writes, r.touches into v_reads, v_writes, v_touches
      from (select x.id from pgstate.agent x
             where x.name = coalesce(nullif(current_setting('pgstate.call_agent', true), ''), current_setting('pgstate.agent', true)) offset 0) a
      cross join lateral (select x.reads, x.writes, x.touches from pgstate.reach x where x.agent_id = a.id and x.folded_until is null offset 0) r;
  end if;
  if v_touches is null then
    return pgstate._reachable_now(p_right);
  elsif p_right = 'touch' then
    return v_touches;
  elsif p_right = 'write' then
    return v_writes;
  end if;
  return v_reads;
end
$$;
comment on function pgstate._reachable_through(text, pgstate.login) is 'Internal: the reach of whom a login acts for that is not simply its own agent.';
