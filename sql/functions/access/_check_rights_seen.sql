-- Under REPEATABLE READ the snapshot may be older than a revocation, and whoever is to write nothing more could go on for as
-- long as its transaction does: 40001 if anything that says what the actor may do has changed since. The locks that tell are
-- given back at once, and not waited for: nobody holds up its own end.
create function pgstate._check_rights_seen(p_agent_id int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  if current_setting('transaction_read_only') = 'on' then
    return;
  end if;
  begin
    perform from pgstate.login l where l.login = session_user::text for share skip locked;
    perform from pgstate.reach r where r.agent_id = p_agent_id for share skip locked;
    perform from pgstate.delegation d where d.login = session_user::text and d.agent_id = p_agent_id for share skip locked;
    perform from pgstate.credential_grant g where g.agent_id = p_agent_id for key share skip locked;
    perform from pgstate.ticket_key k where exists (select from pgstate.login l where l.login = session_user::text and l.tickets) for share skip locked;
    raise exception using errcode = 'PS998';
  exception when sqlstate 'PS998' then
    null;
  end;
end
$$;
comment on function pgstate._check_rights_seen(int) is 'Internal: 40001 if the transaction''s snapshot does not show the actor''s rights as they are.';
