-- Its grants, delegations and login go with its row. What it holds is given back at once: nobody could renew it.
create function pgstate._drop_agent(p_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set lock_timeout = '1s'
as $$
declare
  v_actor pgstate._actor := pgstate._enter(null);
  v_id int;
  v_root boolean;
begin
  perform pgstate._check_admin(v_actor, '**');
  begin
    -- a grant to it at the same time waits, and then finds no such agent
    select a.id, a.root into v_id, v_root from pgstate.agent a where a.name = p_name and not a.grouping for update;
  exception when lock_not_available then
    perform pgstate._raise_changing(format('%s cannot be dropped while a transaction has changed what it may', p_name));
  end;
  if v_id is null and not exists (select from pgstate.former_agent f where f.name = p_name) then
    perform pgstate._agent_id(p_name);
  elsif v_root then
    raise exception using errcode = 'PS007', message = 'the administrator cannot be dropped';
  end if;
  perform pgstate._drop_watchers(v_id, null);
  perform pgstate._end_claims(v_id, p_name);
  delete from pgstate.agent a where a.id = v_id;
  insert into pgstate.former_agent (name, dropped_by) values (p_name, v_actor.name)
      on conflict on constraint former_agent_pkey do update set dropped_at = excluded.dropped_at, dropped_by = excluded.dropped_by;
  perform pgstate._audit(v_actor, 'drop_agent', null, jsonb_build_object('agent', p_name));
end
$$;
comment on function pgstate._drop_agent(text) is 'Internal: removes an agent and all that it may do.';
