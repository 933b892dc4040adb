create function pgstate._effective(p_actor pgstate._actor, p_agent text) returns setof pgstate.effective_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := p_actor.id;
  v_suspended boolean;
begin
  if p_agent is distinct from p_actor.name then
    perform pgstate._check_admin(p_actor, '**');
    v_id := pgstate._agent_id(p_agent);
  end if;
  v_suspended := (select a.suspended_at is not null from pgstate.agent a where a.id = v_id);
  return query
    with held as (
      select g.*, g.until <= pgstate._now() as ended, r.ranges,
             array_to_string(array(select case s when '{agent}' then g.agent else s end
                                     from unnest(string_to_array(g.subtree, '/')) with ordinality as t (s, n) order by n), '/') as own
        from pgstate._grants_of(v_id) g cross join lateral (select pgstate._subtree_ranges(g.subtree, g.agent) as ranges) r
    ), denied as (
      select h."right", range_agg(u) as ranges from held h, unnest(h.ranges) u where h.deny and h.ended is not true group by 1
    )
    select h."right", h.own, h.deny,
           case when h.ended then 'ended' when v_suspended then 'suspended' when h.deny or d.ranges is null or not d.ranges && h.ranges then 'in force'
                when d.ranges @> h.ranges then 'denied' else 'partly denied' end,
           h.through, h.until, h.granted_by, h.granted_at
      from held h left join denied d on d."right" = h."right"
     order by array_position(array['read', 'write', 'admin'], h."right"), h.own collate "C", h.deny, h.through nulls first;
end
$$;
comment on function pgstate._effective(pgstate._actor, text) is 'Internal: what an agent may, and where it comes from.';
