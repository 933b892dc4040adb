-- A denial that is raised rolls its transaction back, and so whatever it would have recorded. So clients tell of it
-- afterwards. Nobody can be made to; what is told is about the caller alone.
create function pgstate.report_denial(asked text, key text default null, agent text default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
begin
  perform pgstate._check_login();
  begin
    v_actor := pgstate._enter(report_denial.agent);
  exception when sqlstate 'PS010' then
    -- it named an agent that it may not act for, which is what was denied
    null;
  end;
  perform pgstate._audit_denied(v_actor, report_denial.key, jsonb_build_object(
    'asked', pgstate._audit_text(report_denial.asked, 200), 'told', 'client',
    'named', case when v_actor.id is null then pgstate._audit_text(split_part(report_denial.agent, '/', 1), 128) end));
end
$$;
comment on function pgstate.report_denial(text, text, text) is
  'Records in the audit trail that the caller was denied something: a denial that is raised undoes its transaction, and cannot record itself. The Python client does it. At most 60 a minute are kept, of the others how many they were. PS010 for a login that is not registered.';
