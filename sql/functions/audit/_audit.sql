-- Adds to the audit trail, in the transaction of what it tells of: both are there, or neither. Whoever calls it has checked
-- what the actor may. Nothing takes an entry away before its time, and some agents can cause as many as they like: with a quota each is a
-- write, but for who administers everything, whom no quota must keep from taking rights away. Denials have a limit of their own.
create function pgstate._audit(p_actor pgstate._actor, p_event text, p_key text default null, p_detail jsonb default null, p_via text default session_user)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_id bigint;
begin
  if p_actor.quota and p_event <> 'denied'
     and not coalesce((select r.admins @> '{(,)}'::pgstate.keymultirange from pgstate._reach r where r.agent_id = p_actor.id), false) then
    perform pgstate._charge(1);
  end if;
  insert into pgstate.audit (at, event, agent, via, key, detail)
  values (pgstate._now(), p_event, p_actor.name, p_via, pgstate._audit_text(p_key, 512), nullif(jsonb_strip_nulls(p_detail), '{}'))
  returning id into v_id;
  insert into pgstate.audit_pending (subtree, audit_id)
  select c.subtree, v_id from pgstate.audit_chain c where c.active and c.ranges @> coalesce(p_key, '');
end
$$;
comment on function pgstate._audit(pgstate._actor, text, text, jsonb, text) is 'Internal: adds an entry to the audit trail.';
