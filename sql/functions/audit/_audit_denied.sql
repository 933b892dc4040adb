-- A denial that did not undo its transaction: of rows of a set-based call, or told by a client afterwards. One entry for a
-- call, and no more than 60 a minute of a login and agent: who is denied must not be able to fill the disk.
create function pgstate._audit_denied(p_actor pgstate._actor, p_key text, p_detail jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
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
  end if;
end
$$;
comment on function pgstate._audit_denied(pgstate._actor, text, jsonb) is 'Internal: records a denial, if there were not too many lately.';
