-- The grants of an agent and of its groups that hold now, as ranges; what is denied is taken away from all that is granted.
-- Nothing while it is suspended, and that as ended already: so no short way takes the cache for what holds.
create function pgstate._folded(p_agent_id int) returns pgstate.reach
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_reach pgstate.reach;
begin
  select p_agent_id, f.may_read - f.no_read, f.may_write - f.no_write, f.may_admin - f.no_admin,
         (f.may_read - f.no_read) + (f.may_write - f.no_write), f.until
    into v_reach.agent_id, v_reach.reads, v_reach.writes, v_reach.admins, v_reach.touches, v_reach.folded_until
    from (select coalesce(range_agg(u) filter (where g."right" = 'read' and not g.deny), '{}') as may_read,
                 coalesce(range_agg(u) filter (where g."right" = 'read' and g.deny), '{}') as no_read,
                 coalesce(range_agg(u) filter (where g."right" = 'write' and not g.deny), '{}') as may_write,
                 coalesce(range_agg(u) filter (where g."right" = 'write' and g.deny), '{}') as no_write,
                 coalesce(range_agg(u) filter (where g."right" = 'admin' and not g.deny), '{}') as may_admin,
                 coalesce(range_agg(u) filter (where g."right" = 'admin' and g.deny), '{}') as no_admin,
                 (case when exists (select from pgstate.agent a where a.id = p_agent_id and a.suspended_at is not null) then '-infinity' else min(g.until) end) as until
            from pgstate._grants_of(p_agent_id) g cross join lateral unnest(pgstate._subtree_ranges(g.subtree, g.agent)) u
           where (g.until is null or g.until > pgstate._now())
             and not exists (select from pgstate.agent a where a.id = p_agent_id and a.suspended_at is not null)) f;
  return v_reach;
end
$$;
comment on function pgstate._folded(int) is 'Internal: what an agent reaches now, from its grants and those of its groups.';
