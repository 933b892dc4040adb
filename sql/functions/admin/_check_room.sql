-- Who administers a part may set there what all others pay for: what is looked through in each of their calls or writes, or by
-- maintain(). So of each kind only so many, but for who administers everything.
create function pgstate._check_room(p_actor pgstate._actor, p_set bigint, p_most int, p_what text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if p_set >= p_most and not coalesce((select r.admins @> '{(,)}'::pgstate.keymultirange from pgstate._reach r where r.agent_id = p_actor.id), false) then
    raise exception using errcode = 'PS060', message = format('agent %s has set %s %s, and may set no more', p_actor.name, p_set, p_what),
      hint = 'Take some away, or ask somebody who administers everything, for whom there is no limit.';
  end if;
end
$$;
comment on function pgstate._check_room(pgstate._actor, bigint, int, text) is 'Internal: PS060 for one more of what others pay for.';
