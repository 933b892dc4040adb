create function pgstate._explain_access(p_actor pgstate._actor, p_agent text, p_key text, p_right text) returns setof pgstate.access_reason
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id int := p_actor.id;
  v_suspended pgstate.agent;
begin
  if not pgstate._key_ok(p_key) then
    perform pgstate._bad_key(p_key);
  elsif p_right is null or p_right not in ('read', 'write', 'admin') then
    raise exception using errcode = 'PS007', message = format('unknown right %L', p_right), hint = 'Rights are read, write and admin.';
  elsif p_agent is distinct from p_actor.name then
    perform pgstate._check_admin(p_actor, p_key);
    v_id := pgstate._agent_id(p_agent);
  end if;
  select a.* into v_suspended from pgstate.agent a where a.id = v_id and a.suspended_at is not null;
  if v_suspended.id is not null then
    -- as a denial of everything
    return next row(false, true, '**', true, null, null, v_suspended.suspended_by, v_suspended.suspended_at)::pgstate.access_reason;
  end if;
  return query
    with covering as (
      select g.*, row_number() over (order by g.deny desc, octet_length(g.subtree) desc, g.subtree !~ E'\\*$' desc, g.through nulls first) as rank
        from pgstate._grants_of(v_id) g
       where g."right" = p_right and (g.until is null or g.until > pgstate._now()) and pgstate._subtree_ranges(g.subtree, g.agent) @> p_key
    )
    select v_suspended.id is null and not bool_or(c.deny) over (), v_suspended.id is null and c.rank = 1, c.subtree, c.deny, c.through, c.until, c.granted_by, c.granted_at from covering c order by c.rank;
  if not found and v_suspended.id is null then
    return next row(false, true, null, null, null, null, null, null)::pgstate.access_reason;
  end if;
end
$$;
comment on function pgstate._explain_access(pgstate._actor, text, text, text) is 'Internal: the grants and denials that cover a key.';
