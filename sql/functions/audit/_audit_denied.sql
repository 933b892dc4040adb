-- A denial that did not undo its transaction: of rows of a set-based call, or told by a client afterwards. One entry for a
-- call, and no more than 60 a minute of a login and agent: who is denied must not be able to fill the disk. Nor to hide among
-- its own noise: the others are counted, see _tell_denied().
create function pgstate._audit_denied(p_actor pgstate._actor, p_key text, p_detail jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_minute timestamptz := date_trunc('minute', pgstate._now(), 'UTC');
begin
  if (select count(*) from (
        select from pgstate.audit a
         where a.event = 'denied' and a.via = session_user::text and a.agent = p_actor.name
           and a.at > pgstate._now() - interval '1 minute'
        union all
        select from pgstate.audit a
         where p_actor.name is null and a.event = 'denied' and a.via = session_user::text and a.agent is null
           and a.at > pgstate._now() - interval '1 minute'
         limit 60) lately) < 60 then
    perform pgstate._audit(p_actor, 'denied', pgstate._audit_text(p_key, 128), p_detail);
    return;
  end if;
  update pgstate.denied_count d set denials = d.denials + 1
   where d.id = (
     select x.id from pgstate.denied_count x where x.via = session_user::text and x.minute = v_minute and x.agent is not distinct from p_actor.name
      limit 1 for no key update skip locked);
  if not found then
    insert into pgstate.denied_count (minute, agent, via, denials) values (v_minute, p_actor.name, session_user, 1);
  end if;
end
$$;
comment on function pgstate._audit_denied(pgstate._actor, text, jsonb) is 'Internal: records a denial, or counts it if there were too many lately.';
