-- Its grants, delegations and login go with its row. What it holds is given back at once: nobody could renew it. But an
-- agent must not be able to hold up its own end: a claim that a transaction keeps locked, or takes that began before, is
-- given back when somebody asks again.
create function pgstate._drop_agent(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '1s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_root boolean;
  v_keys text[];
begin
  perform pgstate._check_admin(v_actor, '**');
  -- a grant to it at the same time waits, and then finds no such agent
  select a.id, a.root into v_id, v_root from pgstate.agent a where a.name = p_name for update;
  if v_id is null and not exists (select from pgstate.former_agent f where f.name = p_name) then
    perform pgstate._agent_id(p_name);
  elsif v_root then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be dropped';
  end if;
  perform pgstate._drop_watchers(v_id, null);
  begin
    -- in the order of keys, as everybody locks claims
    perform from pgstate.claim c where c.holder = p_name order by c.key for update;
  exception when lock_not_available then
    null;
  end;
  v_keys := array(
    select c.key from pgstate.claim c
     where c.holder = p_name and (c.holder_id = v_id or not exists (select from pgstate.agent a where a.id = c.holder_id))
     order by c.key for update skip locked);
  update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null where c.key = any (v_keys);
  delete from pgstate.agent a where a.id = v_id;
  insert into pgstate.former_agent (name, dropped_by) values (p_name, v_actor.name)
      on conflict on constraint former_agent_pkey do update set dropped_at = excluded.dropped_at, dropped_by = excluded.dropped_by;
  perform pgstate._audit(v_actor, 'drop_agent', null, jsonb_build_object('agent', p_name));
  if v_keys <> '{}' then
    -- no version tells of it, and somebody may be waiting for these entries
    perform pgstate._wake(v_keys);
  end if;
end
$$;
comment on function pgstate._drop_agent(text) is 'Internal: removes an agent and all that it may do.';
