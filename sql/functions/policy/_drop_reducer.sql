create function pgstate._drop_reducer(p_actor pgstate._actor, p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_subtree text;
begin
  perform pgstate._check_admin(p_actor, '**');
  -- set_policy() may be about to use it
  perform from pgstate.reducer r where r.name = p_name for update;
  if not found then
    raise exception using errcode = 'PS007', message = format('no reducer %L is registered', pgstate._shown(p_name));
  end if;
  v_subtree := (select min(p.subtree) from pgstate.policy p where p.reducer = p_name);
  if v_subtree is not null then
    raise exception using errcode = 'PS007', message = format('the policy on %s uses reducer %s', v_subtree, p_name),
      hint = 'Give the policy another reducer first.';
  end if;
  delete from pgstate.reducer r where r.name = p_name;
  perform pgstate._audit(p_actor, 'drop_reducer', null, jsonb_build_object('name', p_name));
end
$$;
comment on function pgstate._drop_reducer(pgstate._actor, text) is 'Internal: forgets a reducer.';
