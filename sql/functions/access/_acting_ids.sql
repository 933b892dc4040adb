-- The agents that pgstate.call_agents names and that this login may act for; without the setting, the acting agent.
create function pgstate._acting_ids() returns int[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_names text := current_setting('pgstate.call_agents', true);
begin
  if v_names is null or v_names = '' then
    return array[pgstate._acting()];
  end if;
  return array(
    select a.id
      from pgstate.login l
      cross join lateral (
        select case when strpos(s, '/') > 0 then pgstate._ticket_agent(s) when not l.tickets then s end as name
          from unnest(string_to_array(v_names, ' ')) s) n
      join pgstate.agent a on a.name = n.name and a.suspended_at is null
     where l.login = session_user::text
       and (a.id = l.agent_id or l.root
            or exists (select from pgstate.delegation d where d.login = l.login and d.agent_id = a.id)));
end
$$;
comment on function pgstate._acting_ids() is 'Internal: ids of the agents that a multi-agent feed read acts for, else of the acting agent.';
