create function pgstate._set_audit(p_actor pgstate._actor, p_keep interval) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  perform pgstate._check_admin(p_actor, '**');
  if p_keep is not null and not (p_keep between interval '1 day' and interval '36500 days' and pgstate._span_ok(p_keep)) then
    raise exception using errcode = 'PS007', message = 'the audit trail is kept for a day to 100 years, or for ever (null)';
  end if;
  update pgstate.install i set audit_keep = p_keep;
  perform pgstate._audit(p_actor, 'set_audit', null, jsonb_build_object('keep', p_keep));
end
$$;
comment on function pgstate._set_audit(pgstate._actor, interval) is 'Internal: how long the audit trail is kept.';
