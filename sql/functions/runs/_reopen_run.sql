-- An ended run goes on. The steps that it failed with are done again: those of the last place in the code. When it undid
-- what it had done, it begins anew.
create function pgstate._reopen_run(p_key text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  v_id bigint;
begin
  update pgstate.run r set state = 'open', ended_at = null, result = null, result_type = null, cancel_at = null, deadline = null,
         asleep = false, awaits = null, ready_at = least(r.ready_at, pgstate._now())
   where r.key = p_key returning r.id into v_id;
  if exists (select from pgstate.step s where s.run_id = v_id and s.kind = 'undo') then
    delete from pgstate.step s where s.run_id = v_id;
  else
    delete from pgstate.step s
     where s.run_id = v_id and s.state = 'failed'
       and s.position is not distinct from (select max(l.position) from pgstate.step l where l.run_id = v_id);
  end if;
  return (select count(*) from pgstate.step s where s.run_id = v_id and s.state <> 'pending');
end
$$;
comment on function pgstate._reopen_run(text) is 'Internal: lets an ended run go on; how many steps it has.';
