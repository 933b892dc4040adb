create function pgstate.audit(
  pattern text default '', events text[] default null, "limit" int default 100, before bigint default null, agent text default null
) returns setof pgstate.audit_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(audit.agent);
begin
  perform pgstate._check_pattern(audit.pattern);
  if audit."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  end if;
  return query select * from pgstate._audit_rows(v_actor, audit.pattern, audit.events, audit."limit", audit.before);
end
$$;
comment on function pgstate.audit(text, text[], int, bigint, text) is
  'The audit trail, newest first: grants, revocations, administration, resolved secrets and denials that concern the keys and subtrees which match a pattern and which the caller administers; what concerns the installation is for those who administer everything. events: of these kinds only; limit 1 to 100000 (null: all); before: older than that id. A denial that was raised is here only if its client told of it (report_denial); of an agent denied more than 60 times a minute, an entry without a key says when that minute is over how many more they were (detail more). PS002 PS007 PS010.';
