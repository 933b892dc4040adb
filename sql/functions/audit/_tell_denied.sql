-- Adds to the audit trail how many denials of a minute that is over it left out: one entry for each login and agent. What somebody has
-- under way is told the next time.
create function pgstate._tell_denied(p_limit int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_actor pgstate._actor;
  v_told record;
  v_taken int := 0;
begin
  for v_told in
    with parts as (
      delete from pgstate.denied_count d
       where d.id = any (array(
         select x.id from pgstate.denied_count x where x.minute < date_trunc('minute', pgstate._now(), 'UTC') order by x.id limit p_limit for update skip locked))
      returning d.*
    )
    select p.minute, p.agent, p.via, sum(p.denials) as denials, count(*) as parts from parts p group by 1, 2, 3 order by 1, 2, 3
  loop
    v_taken := v_taken + v_told.parts;
    v_actor.name := v_told.agent;
    perform pgstate._audit(v_actor, 'denied', null, jsonb_build_object('more', v_told.denials, 'minute', v_told.minute), v_told.via);
  end loop;
  return v_taken = p_limit;
end
$$;
comment on function pgstate._tell_denied(int) is 'Internal: adds to the audit trail how many denials it left out; is there more to do?';
