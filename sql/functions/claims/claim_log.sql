create function pgstate.claim_log(pattern text default '', "limit" int default 100, agent text default null) returns setof pgstate.claim_log_row
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor := pgstate._enter(claim_log.agent);
begin
  perform pgstate._check_pattern(claim_log.pattern);
  if claim_log."limit" not between 1 and 100000 then
    raise exception using errcode = 'PS007', message = 'limit is 1 to 100000, or null for no limit';
  end if;
  return query select * from pgstate._claim_log(v_actor, claim_log.pattern, claim_log."limit");
end
$$;
comment on function pgstate.claim_log(text, int, text) is
  'Claims that were ended by release(key, force => true), newest first, of the keys that match a pattern and that the caller administers. limit 1 to 100000 (null: all). PS002 PS007 PS010.';
