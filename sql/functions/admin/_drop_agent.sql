-- Its grants, delegations and login go with its row. What it holds is given back at once: nobody could renew it. A claim
-- that it is taking at this very moment ends with its lease.
create function pgstate._drop_agent(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_keys text[];
begin
  perform pgstate._check_admin(v_actor, '**');
  v_id := pgstate._agent_id(p_name);
  -- a grant to it at the same time waits, and then finds no such agent
  if (select a.root from pgstate.agent a where a.id = v_id for update) then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be dropped';
  end if;
  perform pgstate._drop_watchers(v_id, null);
  -- in the order of keys, as everybody locks claims
  perform from pgstate.claim c where c.holder_id = v_id order by c.key for update;
  with given_back as (
    update pgstate.claim c set lease_until = '-infinity', holder = null, holder_id = null where c.holder_id = v_id returning c.key)
  select array_agg(g.key) into v_keys from given_back g;
  delete from pgstate.agent a where a.id = v_id;
  insert into pgstate.former_agent (name, dropped_by) values (p_name, v_actor.name)
      on conflict on constraint former_agent_pkey do update set dropped_at = excluded.dropped_at, dropped_by = excluded.dropped_by;
  if v_keys is not null then
    -- no version tells of it, and somebody may be waiting for these entries
    perform pgstate._wake(v_keys);
  end if;
end
$$;
comment on function pgstate._drop_agent(text) is 'Internal: removes an agent and all that it may do.';
